//! Payloads at rest: each row is sealed under the day key of its arrival.
//!
//! It hides nothing from the running relay. It makes deleted envelopes unreadable once their day key is
//! overwritten, wherever a disk keeps old blocks.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use bytes::{Bytes, BytesMut};
use chacha20::{R20, hchacha};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::StoreError;

const DOMAIN: &[u8] = b"graceful-relay/1 at rest\0";

/// Bytes of a day key.
pub(crate) const KEY_BYTES: usize = 32;

/// Bytes that sealing adds to a row.
pub(crate) const TAG_BYTES: usize = 16;

const NONCE_BYTES: usize = 24;

/// The key of one day, for envelopes from one arrival on. Wiped when dropped; has no `Debug`.
pub(crate) struct DayKey {
    /// The day, in relay time.
    pub(crate) day: u64,
    /// The first envelope that may be sealed under it.
    pub(crate) first_arrival: u64,
    /// Its slot in the key file.
    pub(crate) slot: usize,
    key: Zeroizing<[u8; KEY_BYTES]>,
}

/// The nonces of one envelope's rows.
///
/// Derived from the whole header. Its chain hash covers the payload, so a nonce repeats only with the same
/// payload, even if a crash or a restored backup repeats an arrival. A row under another header does not open.
pub(crate) struct Nonces([u8; NONCE_BYTES]);

impl Nonces {
    pub(crate) fn of(arrival: u64, head: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        hash.update(arrival.to_be_bytes());
        hash.update(head);
        let digest: [u8; 32] = hash.finalize().into();
        Self(*digest.first_chunk().expect("32 bytes hold 24"))
    }

    fn of_row(&self, part: u16) -> [u8; NONCE_BYTES] {
        let mut nonce = self.0;
        let [.., high, low] = &mut nonce;
        let part = part.to_be_bytes();
        (*high, *low) = (*high ^ part[0], *low ^ part[1]);
        nonce
    }
}

impl DayKey {
    pub(crate) fn new(day: u64, first_arrival: u64, slot: usize, key: &[u8; KEY_BYTES]) -> Self {
        Self {
            day,
            first_arrival,
            slot,
            key: Zeroizing::new(*key),
        }
    }

    /// Returns a row: `front` in the clear, then the sealed payload.
    pub(crate) fn seal(&self, nonces: &Nonces, part: u16, front: &[u8], payload: &[u8]) -> Bytes {
        let mut row = BytesMut::with_capacity(front.len() + payload.len() + TAG_BYTES);
        row.extend_from_slice(front);
        row.resize(row.capacity(), 0);
        let (sealed, tag) = row[front.len()..].split_at_mut(payload.len());
        let (key, nonce) = self.of_row(nonces, part);
        key.seal_out_of_place_scatter(nonce, Aad::empty(), payload, sealed, b"", tag)
            .expect("a row is far shorter than 256 GiB");
        row.freeze()
    }

    /// Opens a row and appends its payload to `payload`.
    pub(crate) fn open(
        &self,
        nonces: &Nonces,
        part: u16,
        row: &[u8],
        payload: &mut BytesMut,
    ) -> Result<(), StoreError> {
        let (sealed, tag) = row
            .split_last_chunk::<TAG_BYTES>()
            .ok_or(StoreError::Corrupted)?;
        let start = payload.len();
        payload.resize(start + sealed.len(), 0);
        let (key, nonce) = self.of_row(nonces, part);
        key.open_separate_gather(nonce, Aad::empty(), sealed, tag, &mut payload[start..])
            .map_err(|_| StoreError::Corrupted)
    }

    /// XChaCha20-Poly1305 is ChaCha20-Poly1305 (RFC 8439) under a key derived from the key and the nonce's first
    /// 16 bytes (draft-irtf-cfrg-xchacha-03, section 2.3). aws-lc-rs does the second several times as fast.
    fn of_row(&self, nonces: &Nonces, part: u16) -> (LessSafeKey, Nonce) {
        let nonce = nonces.of_row(part);
        let (first, rest) = nonce.split_first_chunk::<16>().expect("24 bytes hold 16");
        let mut short = [0; 12];
        short[4..].copy_from_slice(rest);
        let subkey = Zeroizing::new(<[u8; KEY_BYTES]>::from(hchacha::<R20>(
            (&*self.key).into(),
            first.into(),
        )));
        let key = UnboundKey::new(&CHACHA20_POLY1305, &*subkey).expect("32 bytes");
        (LessSafeKey::new(key), Nonce::assume_unique_for_key(short))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(key: &DayKey, nonces: &Nonces, part: u16) -> Vec<u8> {
        let row = key.seal(nonces, part, b"front", &[7; 300]);
        row.strip_prefix(b"front").expect("it stands open").to_vec()
    }

    #[test]
    fn row_opens_with_its_own_key_header_and_part_only() {
        let key = DayKey::new(3, 1, 0, &[1; KEY_BYTES]);
        let nonces = Nonces::of(5, b"head");
        let row = sealed(&key, &nonces, 2);
        let opens = |key: &DayKey, nonces: &Nonces, part, row: &[u8]| {
            let mut payload = BytesMut::from(&b"before"[..]);
            let opened = key.open(nonces, part, row, &mut payload).is_ok();
            assert!(!opened || payload == [&b"before"[..], &[7; 300]].concat());
            opened
        };
        assert!(opens(&key, &nonces, 2, &row));
        assert!(!opens(
            &DayKey::new(3, 1, 0, &[2; KEY_BYTES]),
            &nonces,
            2,
            &row
        ));
        assert!(!opens(&key, &Nonces::of(6, b"head"), 2, &row));
        assert!(!opens(&key, &Nonces::of(5, b"hear"), 2, &row));
        assert!(!opens(&key, &nonces, 3, &row));
        assert!(!opens(&key, &nonces, 2, &row[..TAG_BYTES - 1]));
        for at in 0..row.len() {
            let mut flipped = row.clone();
            flipped[at] ^= 0x10;
            assert!(!opens(&key, &nonces, 2, &flipped), "byte {at}");
        }
    }

    #[test]
    fn sealed_row_matches_xchacha_test_vector() {
        // draft-irtf-cfrg-xchacha-03, appendix A.3.1, without the additional data.
        let key = DayKey::new(
            0,
            0,
            0,
            &std::array::from_fn(|at| 0x80 + u8::try_from(at).expect("small")),
        );
        let mut nonce = [0; NONCE_BYTES];
        nonce
            .iter_mut()
            .enumerate()
            .for_each(|(at, byte)| *byte = 0x40 + u8::try_from(at).expect("small"));
        let payload =
            b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for \
            the future, sunscreen would be it.";
        let row = key.seal(&Nonces(nonce), 0, b"", payload);
        assert_eq!(
            row[..16],
            *b"\xbd\x6d\x17\x9d\x3e\x83\xd4\x3b\x95\x76\x57\x94\x93\xc0\xe9\x39"
        );
    }

    #[test]
    fn equal_payloads_have_different_rows() {
        let key = DayKey::new(3, 1, 0, &[1; KEY_BYTES]);
        let (one, two) = (Nonces::of(5, b"head"), Nonces::of(6, b"head"));
        let rows = [
            sealed(&key, &one, 0),
            sealed(&key, &one, 1),
            sealed(&key, &one, 256),
            sealed(&key, &two, 0),
        ];
        for (at, row) in rows.iter().enumerate() {
            assert!(
                !rows[..at].iter().any(|other| other[..16] == row[..16]),
                "{at}"
            );
        }
    }
}
