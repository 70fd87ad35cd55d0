//! The audit of everything stored, one bounded page at a time, while the relay runs.

use graceful_rules::audit::{AuditCounts, ScanPage, ScanRange};
use graceful_rules::{AccountNumber, EnvelopeMeta};

use super::codec::{IndexEntry, decode_account, decode_header};
use super::log;
use super::schema::{ACCOUNTS, INDEX, LOG, arrival_of, log_key, pair, second};
use super::snapshot::Snapshot;
use crate::StoreError;

/// Bytes of envelopes in one page, unless a single one is larger: a page blocks the writer.
const PAGE_BYTES_MAX: u64 = 1024 * 1024;

/// Envelopes or index entries in one page.
const PAGE_ROWS_MAX: u64 = 2_000;

/// Audits one page.
pub(crate) fn audit(snapshot: &Snapshot<'_>, range: &ScanRange) -> Result<ScanPage, StoreError> {
    match *range {
        ScanRange::Envelopes { from, until } => envelopes(snapshot, from, until),
        ScanRange::Accounts { from } => accounts(snapshot, from),
    }
}

fn envelopes(
    snapshot: &Snapshot<'_>,
    from: u64,
    until: Option<u64>,
) -> Result<ScanPage, StoreError> {
    let (log, index) = (snapshot.table(LOG), snapshot.table(INDEX));
    // Envelopes that arrive during the audit are left out.
    let newest = log.last()?.map_or(0, |(key, _)| arrival_of(key.value()));
    let until = until.unwrap_or(newest);
    let (mut counts, mut bytes) = (AuditCounts::default(), 0);
    for item in log.range(&log_key(from, 0)..=&log_key(until, u16::MAX))? {
        let (key, row) = item?;
        let arrival = arrival_of(key.value());
        if *key.value() != log_key(arrival, 0) {
            continue;
        }
        if counts.envelopes == PAGE_ROWS_MAX || bytes >= PAGE_BYTES_MAX {
            let next = ScanRange::Envelopes {
                from: arrival,
                until: Some(until),
            };
            return Ok(ScanPage {
                counts,
                next: Some(next),
            });
        }
        let Ok((header, _)) = decode_header(row.value()) else {
            counts.add_unreadable();
            continue;
        };
        let meta: EnvelopeMeta = header.meta;
        let entry = IndexEntry { arrival, meta };
        bytes += u64::from(meta.size);
        match log::read(&log, &snapshot.keys, &entry) {
            Ok((_, sealed)) => counts.add_envelope(&sealed),
            Err(StoreError::Damaged(_) | StoreError::Corrupted) => counts.add_unreadable(),
            Err(error) => return Err(error),
        }
        let indexed = index.get(&pair(header.account.0, meta.seq))?;
        counts.misplaced +=
            u64::from(indexed.is_none_or(|indexed| *indexed.value() != entry.to_bytes()));
    }
    Ok(ScanPage {
        counts,
        next: Some(ScanRange::Accounts { from: 0 }),
    })
}

fn accounts(snapshot: &Snapshot<'_>, from: u64) -> Result<ScanPage, StoreError> {
    let (accounts, log, index) = (
        snapshot.table(ACCOUNTS),
        snapshot.table(LOG),
        snapshot.table(INDEX),
    );
    let (mut counts, mut rows) = (AuditCounts::default(), 0);
    for item in accounts.range(&from.to_be_bytes()..)? {
        let (number, bytes) = item?;
        let number = u64::from_be_bytes(*number.value());
        if rows >= PAGE_ROWS_MAX {
            return Ok(ScanPage {
                counts,
                next: Some(ScanRange::Accounts { from: number }),
            });
        }
        counts.accounts += 1;
        let (mut stored_envelopes, mut stored_bytes) = (0, 0);
        for item in index.range(&pair(number, 0)..=&pair(number, u64::MAX))? {
            let (key, value) = item?;
            let entry = IndexEntry::from_bytes(second(key.value()), value.value());
            counts.misplaced += u64::from(log.get(&log_key(entry.arrival, 0))?.is_none());
            stored_envelopes += 1;
            stored_bytes += entry.meta.cost();
        }
        rows += stored_envelopes + 1;
        let agrees = decode_account(AccountNumber(number), bytes.value()).is_ok_and(|account| {
            (account.stored_envelopes, account.stored_bytes) == (stored_envelopes, stored_bytes)
        });
        counts.miscounted += u64::from(!agrees);
    }
    Ok(ScanPage { counts, next: None })
}
