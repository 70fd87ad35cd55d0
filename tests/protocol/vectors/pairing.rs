//! Pairing of two devices: link, request and both answers.

use graceful_client::{EpochSecret, PairingLink, PairingSecret};
use graceful_engine::pairing::{
    Account, PairingError, open_bundle, open_request, seal_bundle, seal_refusal, seal_request,
};
use graceful_engine::sealed::{AccountBundle, DeviceName, JoinRequest};
use graceful_protocol::RendezvousId;
use hkdf::Hkdf;
use prost::Message;
use sha2::Sha256;

use super::actors::{Actor, DESK, PHONE, SECRETS, account, counted, entries, given};
use super::{Vector, hex};

const NAME: &str = "Phone";

fn link() -> PairingLink {
    PairingLink {
        relay: "wss://relay.example/v1/sync".to_owned(),
        id: RendezvousId::new(counted(0x10)),
        secret: PairingSecret::new(counted(0x20)),
    }
}

pub fn steps() -> Vec<Vector> {
    vec![the_link(), request(), psk(), bundle(), refusal()]
}

fn the_link() -> Vector {
    let link = link();
    assert_eq!(link.to_string().parse(), Ok(link.clone()));
    Vector::new("link", "shown as text and as a QR code")
        .given("relay_text", link.relay.as_str())
        .given("id", hex(link.id.as_bytes()))
        .given("secret", hex(link.secret.expose()))
        .gives("link_text", link.to_string())
}

fn request() -> Vector {
    let (link, keys, salt) = (link(), PHONE.keys(), [0x53; 32]);
    let sealed =
        seal_request(&link, &keys, NAME, &mut given(salt.to_vec())).expect("the name is good");
    let joining = open_request(&link, &sealed).expect("it opens");
    assert_eq!(
        (joining.device, joining.name.as_str()),
        (keys.device(), NAME)
    );
    let plain = JoinRequest {
        device: keys.device().to_wire(),
        agreement_key: keys.agreement().public().to_wire(),
        name: NAME.to_owned(),
    };
    Vector::new(
        "request",
        "request is the encoded JoinRequest, before its length and the zeros",
    )
    .given("id", hex(link.id.as_bytes()))
    .given("secret", hex(link.secret.expose()))
    .given("salt", hex(&salt))
    .given("request", hex(&plain.encode_to_vec()))
    .gives("sealed", hex(&sealed))
}

fn psk() -> Vector {
    let link = link();
    let mut psk = [0; 32];
    let derived = Hkdf::<Sha256>::new(Some(link.id.as_bytes()), link.secret.expose());
    derived
        .expand(b"graceful-relay/1 pairing psk\0", &mut psk)
        .expect("the length is possible");
    Vector::new(
        "psk",
        "the pre-shared key of the answers below; its id is the rendezvous id",
    )
    .given("id", hex(link.id.as_bytes()))
    .given("secret", hex(link.secret.expose()))
    .gives("psk", hex(&psk))
}

fn answer(name: &str, plain: &AccountBundle, sealed: &[u8], ikm: u8) -> Vector {
    let (link, keys) = (link(), PHONE.keys());
    let note =
        "HPKE PSK mode; bundle is the encoded AccountBundle; the ephemeral key as in wrapping.json";
    Vector::new(name, note)
        .given("id", hex(link.id.as_bytes()))
        .given("secret", hex(link.secret.expose()))
        .given("recipient", hex(keys.device().as_bytes()))
        .given(
            "recipient_agreement_key",
            hex(keys.agreement().public().as_bytes()),
        )
        .given("recipient_agreement_secret", hex(&PHONE.agreement))
        .given("ephemeral_ikm", hex(&[ikm; 32]))
        .given("bundle", hex(&plain.encode_to_vec()))
        .gives("sealed", hex(sealed))
}

fn joining(actor: &Actor) -> graceful_engine::pairing::Joining {
    let keys = actor.keys();
    graceful_engine::pairing::Joining {
        device: keys.device(),
        agreement: keys.agreement().public(),
        name: NAME.to_owned(),
    }
}

fn bundle() -> Vector {
    let entries = entries();
    let shared = Account {
        entries: entries.clone(),
        secrets: SECRETS.map(EpochSecret::new).to_vec(),
        names: vec![(DESK.keys().device(), "Desk".to_owned())],
    };
    let mut chance = given(vec![0x94; 32]);
    let sealed =
        seal_bundle(&link(), &joining(&PHONE), &shared, &mut chance).expect("the key is good");
    assert_eq!(open_bundle(&link(), &PHONE.keys(), &sealed), Ok(shared));
    let plain = AccountBundle {
        account: account().to_wire(),
        entry_bodies: entries.iter().map(|entry| entry.body.clone()).collect(),
        entry_signatures: entries
            .iter()
            .map(|entry| entry.signature.clone())
            .collect(),
        epoch_secrets: SECRETS
            .iter()
            .map(|secret| secret.to_vec().into())
            .collect(),
        names: vec![DeviceName {
            device: DESK.keys().device().to_wire(),
            name: "Desk".to_owned(),
        }],
        refused: String::new(),
    };
    answer("bundle", &plain, &sealed, 0x94)
}

fn refusal() -> Vector {
    let text = "not now";
    let mut chance = given(vec![0x95; 32]);
    let sealed =
        seal_refusal(&link(), &joining(&PHONE), text, &mut chance).expect("the key is good");
    let refused = PairingError::Refused(text.to_owned());
    assert_eq!(open_bundle(&link(), &PHONE.keys(), &sealed), Err(refused));
    answer(
        "refusal",
        &AccountBundle {
            refused: text.to_owned(),
            ..AccountBundle::default()
        },
        &sealed,
        0x95,
    )
}
