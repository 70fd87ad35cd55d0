//! Envelopes: arbitrary ones, and ones by a member that violates the protocol.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use graceful_client::EpochSecret;
use graceful_engine::seal::{Binding, EpochKeys, open, seal};
use graceful_protocol::envelope::{CONTENT_START, FORM, HEADER_BYTES, TAG_BYTES, padded_size};
use graceful_protocol::{AccountId, DeviceKey};
use hkdf::Hkdf;
use sha2::Sha256;

use super::script::Script;

const SECRET: [u8; 32] = [8; 32];
const SALT: [u8; 32] = [4; 32];

pub fn sealed_envelope(data: &[u8]) {
    let account = AccountId::new([1; 32]);
    let keys = EpochKeys::derive(&EpochSecret::new(SECRET), &account);
    let binding = Binding {
        account,
        key_epoch: 0,
        sender: DeviceKey::new([2; 32]),
        recipient: None,
    };
    assert!(
        open(&keys, &binding, data).is_err(),
        "bytes from nowhere opened"
    );

    let mut script = Script::new(data);
    let (header, content) = (script.piece(), script.rest());
    if let Ok((header, content)) = open(&keys, &binding, &member_made(&header, content)) {
        // What can be read can be said again, unless it breaks a limit that is the sender's to keep.
        if let Ok(again) = seal(&keys, &binding, &header, &content, &SALT) {
            assert_eq!(open(&keys, &binding, &again), Ok((header, content)));
        }
    }
}

/// An envelope whose seals are right and whose inside is what the fuzzer likes.
fn member_made(header: &[u8], content: &[u8]) -> Vec<u8> {
    let mut header = header.to_vec();
    header.resize(HEADER_BYTES, 0);
    let size = padded_size(CONTENT_START + content.len().max(4) + TAG_BYTES);
    let mut content = content.to_vec();
    content.resize(size - CONTENT_START - TAG_BYTES, 0);
    let mut associated = b"graceful-relay/1 envelope\0\x01".to_vec();
    associated.extend([[1; 32].as_slice(), &[0; 4], &[2; 32], &[0; 32]].concat());
    let account = [1; 32];
    let header = encrypt(
        &expand::<32>(&SECRET, &account, "header key"),
        "header message",
        &associated,
        &header,
    );
    associated.extend_from_slice(&header);
    let content = encrypt(
        &expand::<32>(&SECRET, &account, "content key"),
        "content message",
        &associated,
        &content,
    );
    [&[FORM, 0, 0, 0, 0][..], &SALT, &header, &content].concat()
}

pub fn expand<const LENGTH: usize>(secret: &[u8], salt: &[u8], purpose: &str) -> [u8; LENGTH] {
    let mut out = [0; LENGTH];
    let info = format!("graceful-relay/1 {purpose}\0");
    Hkdf::<Sha256>::new(Some(salt), secret)
        .expand(info.as_bytes(), &mut out)
        .expect("the length is possible");
    out
}

fn encrypt(key: &[u8], purpose: &str, associated: &[u8], plain: &[u8]) -> Vec<u8> {
    encrypt_with(key, &SALT, purpose, associated, plain)
}

pub fn encrypt_with(
    secret: &[u8],
    salt: &[u8],
    purpose: &str,
    associated: &[u8],
    plain: &[u8],
) -> Vec<u8> {
    let material = expand::<44>(secret, salt, purpose);
    let mut key = Key::<Aes256Gcm>::default();
    key.copy_from_slice(&material[..32]);
    let mut nonce = Nonce::default();
    nonce.copy_from_slice(&material[32..]);
    let payload = Payload {
        msg: plain,
        aad: associated,
    };
    Aes256Gcm::new(&key)
        .encrypt(&nonce, payload)
        .expect("the length is possible")
}
