//! Epoch secrets wrapped to devices and to the recovery key.

use graceful_client::EpochSecret;
use graceful_engine::wrap::{Wrapping, unwrap};
use graceful_protocol::AccountId;

use super::actors::{Actor, DESK, PHONE, SECRETS, account, recovery, wrapped};
use super::{Vector, hex};

pub fn secrets() -> Vec<Vector> {
    let account = account();
    vec![
        secret(
            "the recovery key's, in the genesis entry",
            None,
            0,
            &recovery(),
            0x90,
        ),
        secret(
            "the desk's, when the tablet is removed",
            Some(&account),
            1,
            &DESK,
            0x91,
        ),
        secret(
            "the phone's, when the tablet is removed",
            Some(&account),
            1,
            &PHONE,
            0x92,
        ),
        secret(
            "the recovery key's, when the tablet is removed",
            Some(&account),
            1,
            &recovery(),
            0x93,
        ),
    ]
}

fn secret(name: &str, account: Option<&AccountId>, key_epoch: u32, to: &Actor, ikm: u8) -> Vector {
    let keys = to.keys();
    let sealed = wrapped(account, key_epoch, to, ikm);
    let wrapping = Wrapping {
        account,
        key_epoch,
        recipient: &keys.device(),
    };
    let secret = EpochSecret::new(SECRETS[key_epoch as usize]);
    assert_eq!(unwrap(&sealed, &wrapping, keys.agreement()), Ok(secret));
    let note = "HPKE base mode; the ephemeral key is DeriveKeyPair(ephemeral_ikm) of RFC 9180, section 7.1.3; \
                32 zero bytes stand for the account in the genesis entry";
    Vector::new(name, note)
        .given("secret", hex(&SECRETS[key_epoch as usize]))
        .given(
            "account",
            hex(&account.map_or([0; 32], |account| *account.as_bytes())),
        )
        .given("key_epoch", key_epoch)
        .given("recipient", hex(keys.device().as_bytes()))
        .given(
            "recipient_agreement_key",
            hex(keys.agreement().public().as_bytes()),
        )
        .given("recipient_agreement_secret", hex(&to.agreement))
        .given("ephemeral_ikm", hex(&[ikm; 32]))
        .gives("wrapped", hex(&sealed))
}
