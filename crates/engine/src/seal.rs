//! Sealing: encrypts a change into an envelope for the account's devices. docs/reference/protocol.md, section
//! 8, specifies every byte.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use bytes::Bytes;
use hkdf::Hkdf;
use prost::Message;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::keys::EpochSecret;
use crate::sealed::Header;
use graceful_protocol::envelope::{
    CONTENT_OVERHEAD, CONTENT_START, FORM, HEADER_BYTES, HEADER_START, SALT_BYTES, TAG_BYTES,
    has_sealed_form, padded_size,
};
use graceful_protocol::{AccountId, DeviceKey};

const HEADER_KEY: &[u8] = b"graceful-relay/1 header key\0";
const CONTENT_KEY: &[u8] = b"graceful-relay/1 content key\0";
const HEADER_MESSAGE: &[u8] = b"graceful-relay/1 header message\0";
const CONTENT_MESSAGE: &[u8] = b"graceful-relay/1 content message\0";
const ASSOCIATED: &[u8] = b"graceful-relay/1 envelope\0";

/// Longest device id or transaction id, in bytes.
pub const ID_BYTES_MAX: usize = 64;

/// The two keys of one key epoch.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct EpochKeys {
    header: [u8; 32],
    content: [u8; 32],
}

impl std::fmt::Debug for EpochKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EpochKeys(…)")
    }
}

impl EpochKeys {
    /// Derives the keys from the epoch's secret.
    pub fn derive(secret: &EpochSecret, account: &AccountId) -> Self {
        let salt = account.as_bytes();
        Self {
            header: *expand::<32>(secret.expose(), salt, HEADER_KEY),
            content: *expand::<32>(secret.expose(), salt, CONTENT_KEY),
        }
    }
}

/// The associated data of an envelope. It decrypts only under the same binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// The account.
    pub account: AccountId,
    /// The key epoch.
    pub key_epoch: u32,
    /// The sealing device.
    pub sender: DeviceKey,
    /// The only recipient; `None` for every other device.
    pub recipient: Option<DeviceKey>,
}

impl Binding {
    fn associated(&self) -> Vec<u8> {
        let recipient = self.recipient.map_or([0; 32], |device| *device.as_bytes());
        [
            ASSOCIATED,
            &[FORM],
            self.account.as_bytes(),
            &self.key_epoch.to_be_bytes(),
            self.sender.as_bytes(),
            &recipient,
        ]
        .concat()
    }
}

/// Why a change cannot be sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The ids exceed the fixed header size.
    #[error("device id and transaction id are limited to {ID_BYTES_MAX} bytes each")]
    HeaderTooLarge,
    /// The payload exceeds its length field.
    #[error("change of {0} bytes exceeds the envelope limit; store large data elsewhere")]
    ContentTooLarge(usize),
}

/// Why an envelope does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It does not have the outer form of an envelope.
    #[error("malformed envelope")]
    Form,
    /// Authentication failed: other keys, another binding, or altered bytes.
    #[error("authentication failed: altered, or not sealed by its claimed sender")]
    Seal,
    /// The decrypted content is malformed.
    #[error("malformed content: {0}")]
    MalformedContent(&'static str),
}

/// Returns the largest payload for an envelope limit, or `None` if nothing fits.
pub fn content_bytes_max(envelope_bytes_max: u64) -> Option<usize> {
    let bound = usize::try_from(envelope_bytes_max.min(u64::from(u32::MAX / 4))).ok()?;
    let fits = |content: usize| sealed_size(content) <= bound;
    if !fits(0) {
        return None;
    }
    let (mut fitting, mut beyond) = (0, bound + 1);
    while beyond - fitting > 1 {
        let middle = fitting + (beyond - fitting) / 2;
        if fits(middle) {
            fitting = middle
        } else {
            beyond = middle
        }
    }
    Some(fitting)
}

/// Returns the envelope size for a payload size.
pub const fn sealed_size(content_bytes: usize) -> usize {
    padded_size(CONTENT_START + CONTENT_OVERHEAD + content_bytes)
}

/// Returns the key epoch named in an envelope.
pub fn key_epoch(sealed: &[u8]) -> Option<u32> {
    let epoch = sealed.get(1..5)?;
    (sealed[0] == FORM).then(|| u32::from_be_bytes([epoch[0], epoch[1], epoch[2], epoch[3]]))
}

/// Seals one envelope. `salt` must be fresh and random.
///
/// # Errors
/// [`SealError`]
pub fn seal(
    keys: &EpochKeys,
    binding: &Binding,
    header: &Header,
    content: &[u8],
    salt: &[u8; SALT_BYTES],
) -> Result<Bytes, SealError> {
    let length =
        u32::try_from(content.len()).map_err(|_| SealError::ContentTooLarge(content.len()))?;
    let size = sealed_size(content.len());
    let mut associated = binding.associated();
    let sealed_header = encrypt(
        &keys.header,
        salt,
        HEADER_MESSAGE,
        &associated,
        &padded_header(header)?,
    );
    associated.extend_from_slice(&sealed_header);

    let mut padded = Zeroizing::new(Vec::with_capacity(size - CONTENT_START));
    padded.extend_from_slice(&length.to_be_bytes());
    padded.extend_from_slice(content);
    padded.resize(size - CONTENT_START - TAG_BYTES, 0);
    let sealed_content = encrypt(&keys.content, salt, CONTENT_MESSAGE, &associated, &padded);

    let mut sealed = Vec::with_capacity(size);
    sealed.push(FORM);
    sealed.extend_from_slice(&binding.key_epoch.to_be_bytes());
    sealed.extend_from_slice(salt);
    sealed.extend_from_slice(&sealed_header);
    sealed.extend_from_slice(&sealed_content);
    assert_eq!(sealed.len(), size, "an envelope has its padded size");
    Ok(sealed.into())
}

/// Opens one envelope.
///
/// # Errors
/// [`OpenError`]
pub fn open(
    keys: &EpochKeys,
    binding: &Binding,
    sealed: &[u8],
) -> Result<(Header, Bytes), OpenError> {
    if !has_sealed_form(sealed) || key_epoch(sealed) != Some(binding.key_epoch) {
        return Err(OpenError::Form);
    }
    let salt = &sealed[HEADER_START - SALT_BYTES..HEADER_START];
    let sealed_header = &sealed[HEADER_START..CONTENT_START];
    let mut associated = binding.associated();
    let header = decrypt(
        &keys.header,
        salt,
        HEADER_MESSAGE,
        &associated,
        sealed_header,
    )?;
    let header = unpad::<2>(&header)?;
    let header = Header::decode(header)
        .map_err(|_| OpenError::MalformedContent("header is not protobuf"))?;
    associated.extend_from_slice(sealed_header);
    let content = decrypt(
        &keys.content,
        salt,
        CONTENT_MESSAGE,
        &associated,
        &sealed[CONTENT_START..],
    )?;
    Ok((header, Bytes::copy_from_slice(unpad::<4>(&content)?)))
}

fn padded_header(header: &Header) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let too_long =
        header.device_id.len() > ID_BYTES_MAX || header.transaction_id.len() > ID_BYTES_MAX;
    let encoded = Zeroizing::new(header.encode_to_vec());
    if too_long || encoded.len() + 2 > HEADER_BYTES {
        return Err(SealError::HeaderTooLarge);
    }
    let length = u16::try_from(encoded.len()).map_err(|_| SealError::HeaderTooLarge)?;
    let mut padded = Zeroizing::new(Vec::with_capacity(HEADER_BYTES));
    padded.extend_from_slice(&length.to_be_bytes());
    padded.extend_from_slice(&encoded);
    padded.resize(HEADER_BYTES, 0);
    Ok(padded)
}

/// Returns the bytes after a length field of `WIDTH` bytes. The padding must be zeros.
pub(crate) fn unpad<const WIDTH: usize>(padded: &[u8]) -> Result<&[u8], OpenError> {
    let cut_short = OpenError::MalformedContent("truncated");
    let (length, rest) = padded.split_at_checked(WIDTH).ok_or(cut_short)?;
    let length = length
        .iter()
        .fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
    let (inside, zeros) = rest.split_at_checked(length).ok_or(cut_short)?;
    if zeros.iter().any(|byte| *byte != 0) {
        return Err(OpenError::MalformedContent("padding is not zeros"));
    }
    Ok(inside)
}

pub(crate) fn encrypt(
    key: &[u8],
    salt: &[u8],
    purpose: &[u8],
    associated: &[u8],
    plain: &[u8],
) -> Vec<u8> {
    let (cipher, nonce) = message_cipher(key, salt, purpose);
    cipher
        .encrypt(
            &nonce,
            Payload {
                msg: plain,
                aad: associated,
            },
        )
        .expect("AES-GCM takes any length below 64 GiB")
}

pub(crate) fn decrypt(
    key: &[u8],
    salt: &[u8],
    purpose: &[u8],
    associated: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let (cipher, nonce) = message_cipher(key, salt, purpose);
    let payload = Payload {
        msg: sealed,
        aad: associated,
    };
    cipher
        .decrypt(&nonce, payload)
        .map(Zeroizing::new)
        .map_err(|_| OpenError::Seal)
}

/// Derives a key and nonce from the message's random salt, so that none is used twice.
fn message_cipher(
    key: &[u8],
    salt: &[u8],
    purpose: &[u8],
) -> (Aes256Gcm, Nonce<aes_gcm::aead::consts::U12>) {
    let material = expand::<44>(key, salt, purpose);
    let (key, nonce) = material.split_at(32);
    let mut message_key = Key::<Aes256Gcm>::default();
    message_key.copy_from_slice(key);
    let mut message_nonce = Nonce::default();
    message_nonce.copy_from_slice(nonce);
    let cipher = Aes256Gcm::new(&message_key);
    message_key.as_mut_slice().zeroize();
    (cipher, message_nonce)
}

/// HKDF-SHA-256 (RFC 5869).
pub(crate) fn expand<const LENGTH: usize>(
    secret: &[u8],
    salt: &[u8],
    info: &[u8],
) -> Zeroizing<[u8; LENGTH]> {
    let mut out = Zeroizing::new([0; LENGTH]);
    Hkdf::<Sha256>::new(Some(salt), secret)
        .expand(info, out.as_mut_slice())
        .expect("HKDF-SHA-256 gives up to 8,160 bytes");
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::SeededRng;
    use crate::sealed::{Heads, Part};

    fn keys() -> EpochKeys {
        EpochKeys::derive(
            &EpochSecret::random(&mut SeededRng(9)),
            &AccountId::new([1; 32]),
        )
    }

    fn binding() -> Binding {
        let account = AccountId::new([1; 32]);
        Binding {
            account,
            key_epoch: 7,
            sender: DeviceKey::new([2; 32]),
            recipient: None,
        }
    }

    fn header() -> Header {
        Header {
            transaction_id: "t".to_owned(),
            push_number: 3,
            ..Header::default()
        }
    }

    proptest! {
        #[test]
        fn sealed_envelope_round_trips(content in prop::collection::vec(any::<u8>(), 0..5_000), salt: [u8; 32]) {
            let sealed = seal(&keys(), &binding(), &header(), &content, &salt).unwrap();
            prop_assert!(has_sealed_form(&sealed));
            prop_assert_eq!(sealed.len(), sealed_size(content.len()));
            let opened = open(&keys(), &binding(), &sealed);
            prop_assert_eq!(opened, Ok((header(), Bytes::from(content))));
        }

        #[test]
        fn open_arbitrary_bytes_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..1_000)) {
            let _ = open(&keys(), &binding(), &bytes);
            let _ = unpad::<4>(&bytes);
        }
    }

    #[test]
    fn envelope_with_flipped_bit_is_rejected() {
        let sealed = seal(&keys(), &binding(), &header(), b"12.00 EUR", &[5; 32]).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed.to_vec();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&keys(), &binding(), &altered).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(
                open(&keys(), &binding(), &sealed[..length]).is_err(),
                "length {length}"
            );
        }
    }

    #[test]
    fn envelope_opens_only_under_its_binding() {
        let sealed = seal(&keys(), &binding(), &header(), b"x", &[5; 32]).unwrap();
        let others = [
            Binding {
                account: AccountId::new([9; 32]),
                ..binding()
            },
            Binding {
                key_epoch: 8,
                ..binding()
            },
            Binding {
                sender: DeviceKey::new([9; 32]),
                ..binding()
            },
            Binding {
                recipient: Some(DeviceKey::new([9; 32])),
                ..binding()
            },
        ];
        assert!(
            others
                .iter()
                .all(|other| open(&keys(), other, &sealed).is_err())
        );
    }

    #[test]
    fn longest_header_fits_and_longer_is_rejected() {
        let heads = Heads {
            log_seq: u64::MAX,
            log_chain: Bytes::from(vec![1; 32]),
            membership_count: u64::MAX,
            membership_head: Bytes::from(vec![1; 32]),
        };
        let part = Part {
            group: Bytes::from(vec![1; 16]),
            index: u32::MAX,
            count: u32::MAX,
        };
        let mut header = Header {
            device_id: "d".repeat(ID_BYTES_MAX),
            transaction_id: "t".repeat(ID_BYTES_MAX),
            push_number: u64::MAX,
            heads: Some(heads),
            part: Some(part),
            kind: 2,
            after: u64::MAX,
        };
        assert!(seal(&keys(), &binding(), &header, b"", &[5; 32]).is_ok());
        header.device_id.push('d');
        assert_eq!(
            seal(&keys(), &binding(), &header, b"", &[5; 32]),
            Err(SealError::HeaderTooLarge)
        );
    }

    #[test]
    fn content_bytes_max_is_exact() {
        for envelope_bytes_max in [400, 401, 1_000, 65_536, 1_100 * 1024] {
            let content = content_bytes_max(envelope_bytes_max).unwrap();
            assert!(sealed_size(content) as u64 <= envelope_bytes_max);
            assert!(sealed_size(content + 1) as u64 > envelope_bytes_max);
        }
        assert_eq!(content_bytes_max(300), None);
    }
}
