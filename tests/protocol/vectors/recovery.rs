//! From recovery phrase to keys, and their signatures beside the log.

use bip39::Language;
use graceful_client::RecoveryKey;
use graceful_protocol::StoreEpoch;
use graceful_protocol::recovery::{RecoveryChallenge, genesis_message};

use super::actors::{DESK, ENTROPY, genesis, recovery};
use super::{Vector, hex};

pub fn all() -> Vec<Vector> {
    let known = [
        ("all zeros", [0; 16]),
        ("BIP39's own example", [0x7f; 16]),
        ("the examples' own", ENTROPY),
    ];
    let mut vectors: Vec<_> = known
        .iter()
        .map(|(name, entropy)| words(name, entropy))
        .collect();
    vectors.extend([challenge(), agreement()]);
    vectors
}

fn words(name: &str, entropy: &[u8; 16]) -> Vector {
    let key = RecoveryKey::from_entropy(*entropy);
    let words = key.words();
    assert_eq!(words.join(" ").parse(), Ok(key.clone()));
    let place = |word: &&str| {
        Language::English
            .find_word(word)
            .expect("a word of the list")
    };
    let keys = key.keys();
    Vector::new(
        name,
        "BIP39, English: places in the list from 0 on; the keys by HKDF without a salt",
    )
    .given("entropy", hex(entropy))
    .gives("words_text", words.join(" "))
    .gives("places", words.iter().map(place).collect::<Vec<_>>())
    .gives("signing_seed", hex(&keys.signing().to_bytes()))
    .gives("agreement_secret", hex(keys.agreement().expose()))
    .gives("recovery_key", hex(keys.device().as_bytes()))
    .gives(
        "recovery_agreement_key",
        hex(keys.agreement().public().as_bytes()),
    )
}

fn challenge() -> Vector {
    let keys = recovery().keys();
    let epoch = StoreEpoch::new([0x45; 16]);
    let challenge = RecoveryChallenge {
        nonce: &[0x4e; 32],
        epoch,
        host: "relay.example",
        key: keys.device(),
    };
    let signature = challenge.sign(keys.signing());
    assert!(challenge.verify(&signature));
    Vector::new("recover", "what the recovery key signs to prove itself")
        .given("nonce", hex(challenge.nonce))
        .given("store_epoch", hex(epoch.as_bytes()))
        .given("signing_seed", hex(&recovery().seed))
        .given("host_text", challenge.host)
        .gives("message", hex(&challenge.message()))
        .gives("signature", hex(&signature))
}

fn agreement() -> Vector {
    let (found, author) = (genesis(), DESK.keys().device());
    Vector::new(
        "genesis",
        "what the recovery key signs in the genesis entry of membership.json",
    )
    .given("signing_seed", hex(&recovery().seed))
    .given("author", hex(author.as_bytes()))
    .given("agreement_key", hex(&found.agreement_key))
    .given("recovery_agreement_key", hex(&found.recovery_agreement_key))
    .given("recovery_wrapped", hex(&found.recovery_wrapped))
    .given("salt", hex(&found.salt))
    .gives("message", hex(&genesis_message(author.as_bytes(), &found)))
    .gives("recovery_signature", hex(&found.recovery_signature))
}
