//! Pairing messages, exchanged through a rendezvous and sealed with the link's secret. See
//! docs/reference/protocol.md, section 9.

use bytes::Bytes;
use hpke::{OpModeR, OpModeS, PskBundle};
use prost::Message;
use zeroize::Zeroizing;

use crate::keys::{DeviceKeys, EpochSecret};
use crate::link::PairingLink;
use crate::rng::{CryptoRng, random};
use crate::seal::{decrypt, encrypt, expand, unpad};
use crate::sealed::{AccountBundle, DeviceName, JoinRequest};
use crate::wrap::{open_with, seal_to};
use graceful_protocol::membership::Membership;
use graceful_protocol::wire::SignedEntry;
use graceful_protocol::{AgreementKey, DeviceKey};

const REQUEST: &[u8] = b"graceful-relay/1 pairing request\0";
const PSK: &[u8] = b"graceful-relay/1 pairing psk\0";
const BUNDLE: &[u8] = b"graceful-relay/1 account bundle\0";
const SALT_BYTES: usize = 32;
/// Size of a join request before sealing. The padding hides the name's length.
const REQUEST_BYTES: usize = 512;

/// Longest device name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// Why a pairing failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PairingError {
    /// The message was not sealed with this link's secret.
    #[error(
        "pairing failed: the message was not sealed with this link; create a new link and retry"
    )]
    Seal,
    /// The sealed message is malformed.
    #[error("pairing failed: malformed {0} from the other device; update both devices")]
    Malformed(&'static str),
    /// The other device declined.
    #[error("the other device declined: {0}")]
    Refused(String),
    /// The name is empty or too long.
    #[error("device name must have 1 to {NAME_BYTES_MAX} bytes")]
    Name,
}

/// A device that requests to join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joining {
    /// Its public signing key.
    pub device: DeviceKey,
    /// The key that secrets are wrapped to.
    pub agreement: AgreementKey,
    /// Its own name. Show it and ask for confirmation.
    pub name: String,
}

/// Everything a device needs to be a member of an account.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// The signed membership log.
    pub entries: Vec<SignedEntry>,
    /// One secret for each key epoch, from 0.
    pub secrets: Vec<EpochSecret>,
    /// The devices' names.
    pub names: Vec<(DeviceKey, String)>,
}

/// Seals a join request.
///
/// # Errors
/// [`PairingError::Name`]
pub fn seal_request(
    link: &PairingLink,
    keys: &DeviceKeys,
    name: &str,
    rng: &mut dyn CryptoRng,
) -> Result<Bytes, PairingError> {
    check_name(name)?;
    let request = JoinRequest {
        device: keys.device().to_wire(),
        agreement_key: keys.agreement().public().to_wire(),
        name: name.to_owned(),
    }
    .encode_to_vec();
    let length = u16::try_from(request.len()).map_err(|_| PairingError::Name)?;
    let mut padded = [&length.to_be_bytes()[..], &request].concat();
    padded.resize(REQUEST_BYTES, 0);
    let salt = random::<SALT_BYTES>(rng);
    let sealed = encrypt(
        link.secret.expose(),
        &salt,
        REQUEST,
        link.id.as_bytes(),
        &padded,
    );
    Ok([&salt[..], &sealed].concat().into())
}

/// Opens a join request.
///
/// # Errors
/// [`PairingError`]
pub fn open_request(link: &PairingLink, sealed: &[u8]) -> Result<Joining, PairingError> {
    let (salt, sealed) = sealed
        .split_at_checked(SALT_BYTES)
        .ok_or(PairingError::Seal)?;
    let padded = decrypt(
        link.secret.expose(),
        salt,
        REQUEST,
        link.id.as_bytes(),
        sealed,
    )
    .map_err(|_| PairingError::Seal)?;
    let request = unpad::<2>(&padded).map_err(|_| PairingError::Malformed("padding"))?;
    let request =
        JoinRequest::decode(request).map_err(|_| PairingError::Malformed("join request"))?;
    check_name(&request.name)?;
    Ok(Joining {
        device: DeviceKey::try_from(&*request.device)
            .map_err(|_| PairingError::Malformed("device key"))?,
        agreement: AgreementKey::try_from(&*request.agreement_key)
            .map_err(|_| PairingError::Malformed("agreement key"))?,
        name: request.name,
    })
}

/// Seals the account for the joining device.
///
/// # Errors
/// [`PairingError::Malformed`] if its agreement key is invalid.
pub fn seal_bundle(
    link: &PairingLink,
    joining: &Joining,
    account: &Account,
    rng: &mut dyn CryptoRng,
) -> Result<Bytes, PairingError> {
    let id = account
        .entries
        .first()
        .map(graceful_protocol::membership::account_id);
    let bundle = AccountBundle {
        account: id.map(|id| id.to_wire()).unwrap_or_default(),
        entry_bodies: account
            .entries
            .iter()
            .map(|entry| entry.body.clone())
            .collect(),
        entry_signatures: account
            .entries
            .iter()
            .map(|entry| entry.signature.clone())
            .collect(),
        epoch_secrets: account
            .secrets
            .iter()
            .map(|secret| Bytes::copy_from_slice(secret.expose()))
            .collect(),
        names: wire_names(&account.names),
        refused: String::new(),
    };
    seal_answer(link, joining, &bundle, rng)
}

/// Seals a refusal.
///
/// # Errors
/// As [`seal_bundle`].
pub fn seal_refusal(
    link: &PairingLink,
    joining: &Joining,
    text: &str,
    rng: &mut dyn CryptoRng,
) -> Result<Bytes, PairingError> {
    let refused = if text.is_empty() {
        "the request was declined".to_owned()
    } else {
        text.to_owned()
    };
    seal_answer(
        link,
        joining,
        &AccountBundle {
            refused,
            ..AccountBundle::default()
        },
        rng,
    )
}

/// Opens the answer and verifies that it makes this device a member with all secrets.
///
/// # Errors
/// [`PairingError`]
pub fn open_bundle(
    link: &PairingLink,
    keys: &DeviceKeys,
    sealed: &[u8],
) -> Result<Account, PairingError> {
    let psk = psk(link);
    let mode = OpModeR::Psk(bundle_psk(&psk, link)?);
    let device = keys.device();
    let plain = open_with(&mode, keys.agreement(), BUNDLE, device.as_bytes(), sealed)
        .map_err(|_| PairingError::Seal)?;
    let bundle = AccountBundle::decode(plain.as_slice())
        .map_err(|_| PairingError::Malformed("account bundle"))?;
    if !bundle.refused.is_empty() {
        return Err(PairingError::Refused(bundle.refused));
    }
    let account = unpack(bundle)?;
    let log = Membership::replay(&account.entries)
        .map_err(|_| PairingError::Malformed("membership log"))?;
    if log
        .member(&device)
        .is_none_or(|member| member.agreement != keys.agreement().public())
    {
        return Err(PairingError::Malformed(
            "membership log without this device",
        ));
    }
    if account.secrets.len() as u64 != u64::from(log.key_epoch()) + 1 {
        return Err(PairingError::Malformed("epoch secrets"));
    }
    Ok(account)
}

fn unpack(bundle: AccountBundle) -> Result<Account, PairingError> {
    if bundle.entry_bodies.len() != bundle.entry_signatures.len() {
        return Err(PairingError::Malformed("membership log"));
    }
    let entries = bundle.entry_bodies.into_iter().zip(bundle.entry_signatures);
    let entries: Vec<_> = entries
        .map(|(body, signature)| SignedEntry { body, signature })
        .collect();
    let id = entries
        .first()
        .map(graceful_protocol::membership::account_id);
    if id.is_none_or(|id| bundle.account != id.to_wire()) {
        return Err(PairingError::Malformed("account id"));
    }
    let secrets = bundle
        .epoch_secrets
        .iter()
        .map(|secret| EpochSecret::from_slice(secret));
    let secrets = secrets
        .collect::<Option<_>>()
        .ok_or(PairingError::Malformed("epoch secret"))?;
    Ok(Account {
        entries,
        secrets,
        names: read_names(&bundle.names),
    })
}

fn seal_answer(
    link: &PairingLink,
    joining: &Joining,
    bundle: &AccountBundle,
    rng: &mut dyn CryptoRng,
) -> Result<Bytes, PairingError> {
    let plain = Zeroizing::new(bundle.encode_to_vec());
    let psk = psk(link);
    let mode = OpModeS::Psk(bundle_psk(&psk, link)?);
    let device = joining.device.as_bytes();
    seal_to(&mode, &joining.agreement, BUNDLE, device, &plain, rng)
        .map(Bytes::from)
        .map_err(|_| PairingError::Malformed("agreement key"))
}

fn psk(link: &PairingLink) -> Zeroizing<[u8; 32]> {
    expand(link.secret.expose(), link.id.as_bytes(), PSK)
}

fn bundle_psk<'a>(psk: &'a [u8; 32], link: &'a PairingLink) -> Result<PskBundle<'a>, PairingError> {
    PskBundle::new(psk, link.id.as_bytes()).map_err(|_| PairingError::Malformed("pairing secret"))
}

/// Checks a device name.
///
/// # Errors
/// [`PairingError::Name`] if it is blank or too long.
pub fn check_name(name: &str) -> Result<(), PairingError> {
    if name.trim().is_empty() || name.len() > NAME_BYTES_MAX {
        Err(PairingError::Name)
    } else {
        Ok(())
    }
}

/// Converts names to their wire form.
pub(crate) fn wire_names(names: &[(DeviceKey, String)]) -> Vec<DeviceName> {
    names
        .iter()
        .map(|(device, name)| DeviceName {
            device: device.to_wire(),
            name: name.clone(),
        })
        .collect()
}

/// Reads received names and skips invalid ones.
pub(crate) fn read_names(names: &[DeviceName]) -> Vec<(DeviceKey, String)> {
    let usable = names.iter().filter(|name| check_name(&name.name).is_ok());
    usable
        .filter_map(|name| Some((DeviceKey::try_from(&*name.device).ok()?, name.name.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SeededRng;
    use graceful_protocol::membership;
    use graceful_protocol::wire::membership_entry::Change;
    use graceful_protocol::wire::{AddDevice, Genesis, MembershipEntry};

    fn account(owner: &DeviceKeys, joining: &Joining) -> Account {
        let found = Genesis {
            agreement_key: owner.agreement().public().to_wire(),
            salt: Bytes::from(vec![3; 32]),
            ..Genesis::default()
        };
        let entry = |index, previous, change| MembershipEntry {
            index,
            previous,
            author: owner.device().to_wire(),
            change: Some(change),
        };
        let first = membership::sign(
            &entry(0, Bytes::new(), Change::Genesis(found)),
            owner.signing(),
        );
        let add = AddDevice {
            device: joining.device.to_wire(),
            agreement_key: joining.agreement.to_wire(),
        };
        let previous = membership::hash(&first).to_wire();
        let second = membership::sign(&entry(1, previous, Change::Add(add)), owner.signing());
        Account {
            entries: vec![first, second],
            secrets: vec![EpochSecret::new([8; 32])],
            names: vec![(owner.device(), "Desk".to_owned())],
        }
    }

    #[test]
    fn pairing_round_trips() {
        let mut rng = SeededRng(1);
        let (owner, new) = (DeviceKeys::random(&mut rng), DeviceKeys::random(&mut rng));
        let link = PairingLink::random("wss://relay.example", &mut rng);
        let request = seal_request(&link, &new, "Phone", &mut rng).unwrap();
        let joining = open_request(&link, &request).unwrap();
        assert_eq!(
            (joining.device, joining.name.as_str()),
            (new.device(), "Phone")
        );

        let account = account(&owner, &joining);
        let answer = seal_bundle(&link, &joining, &account, &mut rng).unwrap();
        assert_eq!(open_bundle(&link, &new, &answer), Ok(account.clone()));

        let other = PairingLink::random("wss://relay.example", &mut rng);
        assert_eq!(open_request(&other, &request), Err(PairingError::Seal));
        assert_eq!(open_bundle(&other, &new, &answer), Err(PairingError::Seal));
        assert_eq!(open_bundle(&link, &owner, &answer), Err(PairingError::Seal));

        let short = Account {
            secrets: Vec::new(),
            ..account
        };
        let answer = seal_bundle(&link, &joining, &short, &mut rng).unwrap();
        assert!(matches!(
            open_bundle(&link, &new, &answer),
            Err(PairingError::Malformed(_))
        ));
    }

    #[test]
    fn pairing_refusal_opens_as_refusal() {
        let mut rng = SeededRng(2);
        let new = DeviceKeys::random(&mut rng);
        let link = PairingLink::random("wss://relay.example", &mut rng);
        let request = seal_request(&link, &new, "Phone", &mut rng).unwrap();
        let joining = open_request(&link, &request).unwrap();
        let answer = seal_refusal(&link, &joining, "", &mut rng).unwrap();
        let refused = PairingError::Refused("the request was declined".to_owned());
        assert_eq!(open_bundle(&link, &new, &answer), Err(refused));
    }

    #[test]
    fn join_request_hides_name_length() {
        let mut rng = SeededRng(2);
        let new = DeviceKeys::random(&mut rng);
        let link = PairingLink::random("wss://relay.example", &mut rng);
        let mut size =
            |name: &str| seal_request(&link, &new, name, &mut rng).map(|sealed| sealed.len());
        assert_eq!(size("x"), size(&"x".repeat(NAME_BYTES_MAX)));
        assert_eq!(size(" "), Err(PairingError::Name));
        assert_eq!(
            size(&"x".repeat(NAME_BYTES_MAX + 1)),
            Err(PairingError::Name)
        );
    }
}
