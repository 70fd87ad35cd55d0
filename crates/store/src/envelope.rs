//! Envelope rows: lay down, read, take away.
//!
//! redb gives a value whole pages of power-of-two sizes, so a large payload is cut into rows that
//! just fit one.

use std::ops::RangeInclusive;

use bytes::{Bytes, BytesMut};

use graceful_rules::AccountNumber;

use super::StoreError;
use super::at_rest::{Nonces, TAG_BYTES};
use super::commit::Transaction;
use super::day_keys::Keyring;
use super::row::{IndexEntry, LOG_HEAD_BYTES, LogHead};
use super::tables::{Log, log_key, pair, second};

/// Bytes of a row at most.
const ROW_BYTES_MAX: usize = 65_000;

/// Bytes of payload in an envelope's first row.
const FIRST_PAYLOAD_MAX: usize = ROW_BYTES_MAX - LOG_HEAD_BYTES - TAG_BYTES;

/// And in each of the others.
const PAYLOAD_MAX: usize = ROW_BYTES_MAX - TAG_BYTES;

/// How many rows an envelope of this size has.
fn parts(size: u32) -> u16 {
    let more = (size as usize)
        .saturating_sub(FIRST_PAYLOAD_MAX)
        .div_ceil(PAYLOAD_MAX);
    u16::try_from(1 + more).expect("an envelope has far fewer than 65,535 rows")
}

/// An envelope's head and payload; [`StoreError::Corrupted`] where the disk does not give them back.
pub(super) fn read(
    log: &Log<'_>,
    keys: &Keyring,
    entry: &IndexEntry,
) -> Result<(LogHead, Bytes), StoreError> {
    const MISSING: StoreError =
        StoreError::Damaged("the index names an envelope that the log lacks");
    let row = log.get(&log_key(entry.arrival, 0))?.ok_or(MISSING)?;
    let (head, first) = LogHead::decode(row.value()).map_err(|_| StoreError::Corrupted)?;
    if head.meta != entry.meta {
        return Err(StoreError::Corrupted);
    }
    let mut payload = BytesMut::with_capacity(entry.meta.size as usize);
    let nonces = Nonces::of(entry.arrival, &row.value()[..LOG_HEAD_BYTES]);
    let key = keys.at(entry.arrival)?;
    key.open(&nonces, 0, first, &mut payload)?;
    for part in 1..parts(entry.meta.size) {
        let row = log.get(&log_key(entry.arrival, part))?.ok_or(MISSING)?;
        key.open(&nonces, part, row.value(), &mut payload)?;
    }
    if payload.len() != entry.meta.size as usize {
        return Err(StoreError::Corrupted);
    }
    Ok((head, payload.freeze()))
}

impl Transaction<'_> {
    /// Writes an envelope to the log's end and into the index.
    pub(super) fn append_envelope(
        &mut self,
        head: &LogHead,
        sealed: &[u8],
    ) -> Result<(), StoreError> {
        assert_eq!(
            sealed.len(),
            head.meta.size as usize,
            "a head says how long its payload is"
        );
        let arrival = self.next_arrival_number();
        let (first, rest) = sealed.split_at(sealed.len().min(FIRST_PAYLOAD_MAX));
        let head_bytes = head.to_bytes();
        let nonces = Nonces::of(arrival, &head_bytes);
        let key = self.current_day_key(arrival)?;
        self.tables.log.put(
            &log_key(arrival, 0),
            key.seal(&nonces, 0, &head_bytes, first),
        );
        for (part, payload) in (1..).zip(rest.chunks(PAYLOAD_MAX)) {
            self.tables.log.put(
                &log_key(arrival, part),
                key.seal(&nonces, part, b"", payload),
            );
        }
        let entry = IndexEntry {
            arrival,
            meta: head.meta,
        };
        self.tables
            .index
            .insert(&pair(head.account.0, head.meta.seq), &entry.to_bytes());
        Ok(())
    }

    /// The envelopes of an account that are kept among these seqs.
    pub(super) fn index_entries(
        &self,
        account: AccountNumber,
        seqs: RangeInclusive<u64>,
    ) -> Result<Vec<IndexEntry>, StoreError> {
        if seqs.is_empty() {
            return Ok(Vec::new());
        }
        let (first, last) = (pair(account.0, *seqs.start()), pair(account.0, *seqs.end()));
        let mut entries = Vec::new();
        for item in self.tables.index.range(&first..=&last)? {
            let (key, value) = item?;
            entries.push(IndexEntry::from_bytes(second(key.value()), value.value()));
        }
        Ok(entries)
    }

    /// Takes an envelope's rows away.
    pub(super) fn remove_envelope(&mut self, account: AccountNumber, entry: &IndexEntry) {
        for part in 0..parts(entry.meta.size) {
            self.tables.log.remove(&log_key(entry.arrival, part));
        }
        self.tables.index.remove(&pair(account.0, entry.meta.seq));
    }

    /// Takes away those among these seqs that no device awaits any more.
    pub(super) fn remove_unawaited(
        &mut self,
        account: AccountNumber,
        seqs: RangeInclusive<u64>,
    ) -> Result<(), StoreError> {
        for entry in self.index_entries(account, seqs)? {
            let Some(cached) = self.account(account)? else {
                return Ok(());
            };
            if !cached.account.needs(&entry.meta) {
                cached.account.remove(&entry.meta);
                self.remove_envelope(account, &entry);
            }
        }
        Ok(())
    }
}
