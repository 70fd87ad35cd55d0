//! Envelope rows: lay down, read, take away.
//!
//! redb gives a value whole pages of power-of-two sizes, so a large payload is cut into rows that
//! just fit one.

use std::ops::RangeInclusive;

use bytes::{Bytes, BytesMut};

use graceful_rules::AccountNumber;

use super::StoreError;
use super::at_rest::{Nonces, TAG_BYTES};
use super::commit::Turn;
use super::day_keys::Keyring;
use super::row::{LOG_HEAD_BYTES, LogHead, Place};
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

/// An envelope's head and payload; [`StoreError::Altered`] where the disk does not give them back.
pub(super) fn read(
    log: &Log<'_>,
    keys: &Keyring,
    place: &Place,
) -> Result<(LogHead, Bytes), StoreError> {
    const MISSING: StoreError =
        StoreError::Damaged("the index names an envelope that the log lacks");
    let row = log.get(&log_key(place.arrival, 0))?.ok_or(MISSING)?;
    let (head, first) = LogHead::read(row.value()).map_err(|_| StoreError::Altered)?;
    if head.kept != place.kept {
        return Err(StoreError::Altered);
    }
    let mut payload = BytesMut::with_capacity(place.kept.size as usize);
    let nonces = Nonces::of(place.arrival, &row.value()[..LOG_HEAD_BYTES]);
    let key = keys.at(place.arrival)?;
    key.open(&nonces, 0, first, &mut payload)?;
    for part in 1..parts(place.kept.size) {
        let row = log.get(&log_key(place.arrival, part))?.ok_or(MISSING)?;
        key.open(&nonces, part, row.value(), &mut payload)?;
    }
    if payload.len() != place.kept.size as usize {
        return Err(StoreError::Altered);
    }
    Ok((head, payload.freeze()))
}

impl Turn<'_> {
    /// Writes an envelope to the log's end and into the index.
    pub(super) fn lay_down(&mut self, head: &LogHead, sealed: &[u8]) -> Result<(), StoreError> {
        assert_eq!(
            sealed.len(),
            head.kept.size as usize,
            "a head says how long its payload is"
        );
        let arrival = self.give_arrival();
        let (first, rest) = sealed.split_at(sealed.len().min(FIRST_PAYLOAD_MAX));
        let head_bytes = head.to_bytes();
        let nonces = Nonces::of(arrival, &head_bytes);
        let key = self.key_of_today(arrival)?;
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
        let place = Place {
            arrival,
            kept: head.kept,
        };
        self.tables
            .index
            .insert(&pair(head.account.0, head.kept.seq), &place.to_bytes());
        Ok(())
    }

    /// The envelopes of an account that are kept among these seqs.
    pub(super) fn places(
        &self,
        account: AccountNumber,
        seqs: RangeInclusive<u64>,
    ) -> Result<Vec<Place>, StoreError> {
        if seqs.is_empty() {
            return Ok(Vec::new());
        }
        let (first, last) = (pair(account.0, *seqs.start()), pair(account.0, *seqs.end()));
        let mut places = Vec::new();
        for item in self.tables.index.range(&first..=&last)? {
            let (key, value) = item?;
            places.push(Place::from_bytes(second(key.value()), value.value()));
        }
        Ok(places)
    }

    /// Takes an envelope's rows away.
    pub(super) fn take_away(&mut self, account: AccountNumber, place: &Place) {
        for part in 0..parts(place.kept.size) {
            self.tables.log.remove(&log_key(place.arrival, part));
        }
        self.tables.index.remove(&pair(account.0, place.kept.seq));
    }

    /// Takes away those among these seqs that no device awaits any more.
    pub(super) fn release(
        &mut self,
        account: AccountNumber,
        seqs: RangeInclusive<u64>,
    ) -> Result<(), StoreError> {
        for place in self.places(account, seqs)? {
            let Some(open) = self.account(account)? else {
                return Ok(());
            };
            if !open.account.awaits(&place.kept) {
                open.account.let_go(&place.kept);
                self.take_away(account, &place);
            }
        }
        Ok(())
    }
}
