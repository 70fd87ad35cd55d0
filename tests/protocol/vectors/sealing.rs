//! Sealed envelopes with every intermediate value, derived step by step and by the library.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use bytes::Bytes;
use graceful_client::EpochSecret;
use graceful_engine::seal::{Binding, EpochKeys, open, seal};
use graceful_engine::sealed::{Header, Heads, Part};
use graceful_protocol::envelope::{CONTENT_START, HEADER_BYTES, HEADER_START, TAG_BYTES};
use hkdf::Hkdf;
use prost::Message;
use sha2::Sha256;

use super::actors::{DESK, PHONE, SECRETS, account, counted};
use super::{Vector, hex};

const CONTENT: &str = r#"{"entity_type":"transaction","operation":"create","amount":"12.00"}"#;

pub fn envelopes() -> Vec<Vector> {
    let whole = Header {
        device_id: "desk-1".to_owned(),
        transaction_id: "tx-0001".to_owned(),
        push_number: 1,
        heads: Some(Heads {
            log_seq: 0,
            log_chain: Bytes::new(),
            membership_count: 4,
            membership_head: Bytes::from(vec![0x6d; 32]),
        }),
        part: None,
        kind: 0,
        after: 0,
    };
    let part = Part {
        group: Bytes::from(vec![0x70; 16]),
        index: 1,
        count: 2,
    };
    let snapshot = Header {
        push_number: 2,
        after: 1,
        part: Some(part),
        kind: 1,
        ..whole.clone()
    };
    let binding = |key_epoch, recipient| Binding {
        account: account(),
        key_epoch,
        sender: DESK.keys().device(),
        recipient,
    };
    let phone = PHONE.keys().device();
    vec![
        envelope(
            "for everyone",
            &binding(0, None),
            &whole,
            CONTENT.as_bytes(),
        ),
        envelope(
            "for the phone alone",
            &binding(1, Some(phone)),
            &snapshot,
            &[0x73; 700],
        ),
        envelope(
            "without content",
            &binding(1, None),
            &Header {
                push_number: 3,
                ..Header::default()
            },
            b"",
        ),
    ]
}

fn expand(secret: &[u8], salt: &[u8], info: &str, length: usize) -> Vec<u8> {
    let mut out = vec![0; length];
    let derived = Hkdf::<Sha256>::new(Some(salt), secret).expand(info.as_bytes(), &mut out);
    derived.expect("the length is possible");
    out
}

fn encrypt(material: &[u8], associated: &[u8], plain: &[u8]) -> Vec<u8> {
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

fn padded(length: &[u8], inside: &[u8], size: usize) -> Vec<u8> {
    let mut padded = [length, inside].concat();
    padded.resize(size, 0);
    padded
}

fn envelope(name: &str, binding: &Binding, header: &Header, content: &[u8]) -> Vector {
    let salt: [u8; 32] = counted(0xa0);
    let secret = SECRETS[binding.key_epoch as usize];
    let keys = EpochKeys::derive(&EpochSecret::new(secret), &binding.account);
    let sealed = seal(&keys, binding, header, content, &salt).expect("it fits");
    let opened = open(&keys, binding, &sealed).expect("it opens");
    assert_eq!(opened, (header.clone(), Bytes::copy_from_slice(content)));

    let header_key = expand(
        &secret,
        binding.account.as_bytes(),
        "graceful-relay/1 header key\0",
        32,
    );
    let content_key = expand(
        &secret,
        binding.account.as_bytes(),
        "graceful-relay/1 content key\0",
        32,
    );
    let header_message = expand(&header_key, &salt, "graceful-relay/1 header message\0", 44);
    let content_message = expand(
        &content_key,
        &salt,
        "graceful-relay/1 content message\0",
        44,
    );
    let recipient = binding
        .recipient
        .map_or([0; 32], |device| *device.as_bytes());
    let associated = [
        &b"graceful-relay/1 envelope\0\x01"[..],
        binding.account.as_bytes(),
        &binding.key_epoch.to_be_bytes(),
        binding.sender.as_bytes(),
        &recipient,
    ]
    .concat();
    let encoded = header.encode_to_vec();
    let header_plain = padded(
        &(encoded.len() as u16).to_be_bytes(),
        &encoded,
        HEADER_BYTES,
    );
    let size = sealed.len() - CONTENT_START - TAG_BYTES;
    let content_plain = padded(&(content.len() as u32).to_be_bytes(), content, size);
    let sealed_header = encrypt(&header_message, &associated, &header_plain);
    let content_associated = [&associated[..], &sealed_header].concat();
    assert_eq!(sealed[HEADER_START..CONTENT_START], sealed_header);
    assert_eq!(
        sealed[CONTENT_START..],
        encrypt(&content_message, &content_associated, &content_plain)
    );

    Vector::new(
        name,
        "header is an encoded Header; message keys are key (32) and nonce (12)",
    )
    .given("secret", hex(&secret))
    .given("account", hex(binding.account.as_bytes()))
    .given("key_epoch", binding.key_epoch)
    .given("sender", hex(binding.sender.as_bytes()))
    .given("recipient", hex(&recipient))
    .given("salt", hex(&salt))
    .given("header", hex(&encoded))
    .given("content", hex(content))
    .gives("header_key", hex(&header_key))
    .gives("content_key", hex(&content_key))
    .gives("header_message", hex(&header_message))
    .gives("content_message", hex(&content_message))
    .gives("associated", hex(&associated))
    .gives("header_plain", hex(&header_plain))
    .gives("content_plain", hex(&content_plain))
    .gives("sealed_header", hex(&sealed_header))
    .gives("sealed", hex(&sealed))
}
