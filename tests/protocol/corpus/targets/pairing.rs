//! Pairing: rendezvous messages and pairing links.

use bytes::Bytes;
use graceful_client::{AgreementSecret, DeviceKeys, EpochSecret, PairingLink, PairingSecret};
use graceful_engine::FnRng;
use graceful_engine::pairing::{
    Account, Joining, PairingError, open_bundle, open_request, seal_bundle, seal_request,
};
use graceful_protocol::RendezvousId;
use graceful_protocol::membership::Membership;
use graceful_protocol::wire::SignedEntry;

use super::script::Script;
use super::sealed::encrypt_with;

fn fixed() -> FnRng<impl FnMut(&mut [u8])> {
    FnRng(|bytes: &mut [u8]| bytes.fill(0x2f))
}

fn link() -> PairingLink {
    PairingLink {
        relay: "wss://relay.example".to_owned(),
        id: RendezvousId::new([6; 16]),
        secret: PairingSecret::new([7; 16]),
    }
}

fn keys() -> DeviceKeys {
    DeviceKeys::new(&[1; 32], AgreementSecret::new([2; 32]))
}

/// What is read as a link is shown and read again as the same.
pub fn pairing_link(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for text in [text.to_string(), format!("graceful-relay://pair?{text}")] {
        if let Ok(link) = text.parse::<PairingLink>() {
            // Shown, everything unusual in the relay's URL takes three characters: it may be too long then.
            let shown = link.to_string();
            assert!(
                shown.len() > 2_048 || shown.parse().as_ref() == Ok(&link),
                "{shown}"
            );
        }
    }
}

/// Arbitrary bytes, and a request by a device that has the link but violates the protocol.
pub fn join_request(data: &[u8]) {
    let link = link();
    assert_eq!(open_request(&link, data), Err(PairingError::Seal));
    let salt = [3; 32];
    let secret = link.secret.expose();
    let sealed = encrypt_with(secret, &salt, "pairing request", link.id.as_bytes(), data);
    if let Ok(joining) = open_request(&link, &[&salt[..], &sealed].concat()) {
        assert!(!joining.name.trim().is_empty() && joining.name.len() <= 128);
    }
    let name = String::from_utf8_lossy(data);
    if let Ok(sealed) = seal_request(&link, &keys(), &name, &mut fixed()) {
        assert_eq!(
            open_request(&link, &sealed).map(|joining| joining.name),
            Ok(name.into_owned())
        );
    }
}

/// Arbitrary bytes, and a bundle by a device that has the link but violates the protocol.
pub fn account_bundle(data: &[u8]) {
    let (link, keys) = (link(), keys());
    assert_eq!(open_bundle(&link, &keys, data), Err(PairingError::Seal));
    let mut script = Script::new(data);
    let mut account = Account {
        entries: Vec::new(),
        secrets: Vec::new(),
        names: Vec::new(),
    };
    for _ in 0..script.byte() % 8 {
        account.secrets.push(EpochSecret::new([script.byte(); 32]));
    }
    account.names.push((
        keys.device(),
        String::from_utf8_lossy(&script.piece()).into_owned(),
    ));
    while !script.is_empty() {
        account.entries.push(SignedEntry {
            body: script.piece(),
            signature: script.piece(),
        });
    }
    let joining = Joining {
        device: keys.device(),
        agreement: keys.agreement().public(),
        name: "x".to_owned(),
    };
    let sealed: Bytes =
        seal_bundle(&link, &joining, &account, &mut fixed()).expect("the key is good");
    if let Ok(opened) = open_bundle(&link, &keys, &sealed) {
        let log = Membership::replay(&opened.entries).expect("an opened bundle has a valid log");
        assert!(
            log.member(&keys.device()).is_some(),
            "an opened bundle makes this device a member"
        );
    }
}
