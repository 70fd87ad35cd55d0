//! Looking at everything that is kept, a bounded page at a time, while the relay goes on.

use graceful_rules::AccountNumber;
use graceful_rules::audit::{AuditCounts, ScanPage, ScanRange};

use super::row::{IndexEntry, LogHead};
use super::snapshot::Snapshot;
use super::tables::{ACCOUNTS, INDEX, LOG, arrival_of, log_key, pair, second};
use super::{Store, StoreError, envelope, row};

/// Bytes of envelopes in one page, unless a single one is larger: while it is looked at, no commit ends.
const PAGE_BYTES_MAX: u64 = 1024 * 1024;

/// Envelopes, or entries in accounts' logs, in one page.
const PAGE_ROWS_MAX: u64 = 2_000;

impl Store {
    /// Looks at everything, page by page. `progress` hears how many envelopes were looked at so far.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn audit_all(&self, progress: &mut dyn FnMut(u64)) -> Result<AuditCounts, StoreError> {
        let (mut counts, mut next) = (AuditCounts::default(), Some(ScanRange::FIRST));
        while let Some(range) = next {
            progress(counts.envelopes);
            let page = self.audit(&range)?;
            counts.merge(&page.counts);
            next = page.next;
        }
        Ok(counts)
    }

    /// Looks at one page, as it is at this snapshot.
    ///
    /// # Errors
    /// [`StoreError`], but not for what is found.
    pub fn audit(&self, range: &ScanRange) -> Result<ScanPage, StoreError> {
        let snapshot = self.snapshot()?;
        match *range {
            ScanRange::Envelopes { from, until } => envelopes(&snapshot, from, until),
            ScanRange::Accounts { from } => accounts(&snapshot, from),
        }
    }
}

fn envelopes(
    snapshot: &Snapshot<'_>,
    from: u64,
    until: Option<u64>,
) -> Result<ScanPage, StoreError> {
    let (log, index) = (snapshot.table(LOG), snapshot.table(INDEX));
    // What comes meanwhile is not waited for.
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
        let Ok((head, _)) = LogHead::decode(row.value()) else {
            counts.add_unreadable();
            continue;
        };
        let entry = IndexEntry {
            arrival,
            meta: head.meta,
        };
        bytes += u64::from(head.meta.size);
        match envelope::read(&log, &snapshot.keys, &entry) {
            Ok((_, sealed)) => counts.add_envelope(&sealed),
            Err(StoreError::Damaged(_) | StoreError::Corrupted) => counts.add_unreadable(),
            Err(error) => return Err(error),
        }
        let listed = index.get(&pair(head.account.0, head.meta.seq))?;
        counts.misplaced +=
            u64::from(listed.is_none_or(|listed| *listed.value() != entry.to_bytes()));
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
        let agrees =
            row::decode_account(AccountNumber(number), bytes.value()).is_ok_and(|account| {
                (account.stored_envelopes, account.stored_bytes) == (stored_envelopes, stored_bytes)
            });
        counts.miscounted += u64::from(!agrees);
    }
    Ok(ScanPage { counts, next: None })
}
