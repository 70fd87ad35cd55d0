//! Envelope rows of the log.
//!
//! redb gives a value whole pages of power-of-two sizes, so a large payload is cut into rows that fit one.

use bytes::{Bytes, BytesMut};

use super::codec::{HEADER_BYTES, IndexEntry, decode_header, encode_header};
use super::keys::Keyring;
use super::payload::{DayKey, Nonces, TAG_BYTES};
use super::schema::{Log, log_key};
use crate::{EnvelopeHeader, StoreError};

/// Bytes of a row at most.
const ROW_BYTES_MAX: usize = 65_000;

/// Bytes of payload in an envelope's first row.
const FIRST_PAYLOAD_MAX: usize = ROW_BYTES_MAX - HEADER_BYTES - TAG_BYTES;

/// Bytes of payload in each of the other rows.
const PAYLOAD_MAX: usize = ROW_BYTES_MAX - TAG_BYTES;

const MISSING: StoreError = StoreError::Damaged("the index names an envelope that the log lacks");

/// Returns the number of rows of an envelope.
fn row_count(size: u32) -> u16 {
    let more = (size as usize)
        .saturating_sub(FIRST_PAYLOAD_MAX)
        .div_ceil(PAYLOAD_MAX);
    u16::try_from(1 + more).expect("an envelope has far fewer than 65,535 rows")
}

/// Reads an envelope's header and payload. [`StoreError::Corrupted`] if they fail their integrity check.
pub(crate) fn read(
    log: &Log<'_>,
    keys: &Keyring,
    entry: &IndexEntry,
) -> Result<(EnvelopeHeader, Bytes), StoreError> {
    let row = log.get(&log_key(entry.arrival, 0))?.ok_or(MISSING)?;
    let (header, first) = decode_header(row.value()).map_err(|_| StoreError::Corrupted)?;
    if header.meta != entry.meta {
        return Err(StoreError::Corrupted);
    }
    let mut payload = BytesMut::with_capacity(entry.meta.size as usize);
    let nonces = Nonces::of(entry.arrival, &row.value()[..HEADER_BYTES]);
    let key = keys.at(entry.arrival)?;
    key.open(&nonces, 0, first, &mut payload)?;
    for part in 1..row_count(entry.meta.size) {
        let row = log.get(&log_key(entry.arrival, part))?.ok_or(MISSING)?;
        key.open(&nonces, part, row.value(), &mut payload)?;
    }
    if payload.len() != entry.meta.size as usize {
        return Err(StoreError::Corrupted);
    }
    Ok((header, payload.freeze()))
}

/// Reads an envelope's header only.
pub(crate) fn read_header(log: &Log<'_>, entry: &IndexEntry) -> Result<EnvelopeHeader, StoreError> {
    let row = log.get(&log_key(entry.arrival, 0))?.ok_or(MISSING)?;
    Ok(decode_header(row.value())?.0)
}

/// Seals an envelope and appends its rows.
pub(crate) fn append(
    log: &mut Log<'_>,
    key: &DayKey,
    arrival: u64,
    header: &EnvelopeHeader,
    sealed: &[u8],
) {
    assert_eq!(
        sealed.len(),
        header.meta.size as usize,
        "the header has the size of its payload"
    );
    let (first, rest) = sealed.split_at(sealed.len().min(FIRST_PAYLOAD_MAX));
    let header_bytes = encode_header(header);
    let nonces = Nonces::of(arrival, &header_bytes);
    log.put(
        &log_key(arrival, 0),
        key.seal(&nonces, 0, &header_bytes, first),
    );
    for (part, payload) in (1..).zip(rest.chunks(PAYLOAD_MAX)) {
        log.put(
            &log_key(arrival, part),
            key.seal(&nonces, part, b"", payload),
        );
    }
}

/// Removes an envelope's rows.
pub(crate) fn remove(log: &mut Log<'_>, entry: &IndexEntry) {
    for part in 0..row_count(entry.meta.size) {
        log.remove(&log_key(entry.arrival, part));
    }
}
