//! Looking at everything that is kept, a bounded part at a time, while the relay goes on.

use graceful_rules::AccountNumber;
use graceful_rules::inspection::{Part, Stretch, Tally};

use super::moment::Moment;
use super::row::{LogHead, Place};
use super::tables::{ACCOUNTS, INDEX, LOG, arrival_of, log_key, pair, second};
use super::{Store, StoreError, envelope, row};

/// Bytes of envelopes in one part, unless a single one is larger: while it is looked at, no commit ends.
const PART_BYTES: u64 = 1024 * 1024;

/// Envelopes, or places in accounts' logs, in one part.
const PART_ROWS: u64 = 2_000;

impl Store {
    /// Looks at everything, part by part. `progress` hears how many envelopes were looked at so far.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn inspect_all(&self, progress: &mut dyn FnMut(u64)) -> Result<Tally, StoreError> {
        let (mut tally, mut next) = (Tally::default(), Some(Stretch::FIRST));
        while let Some(stretch) = next {
            progress(tally.envelopes);
            let part = self.inspect(&stretch)?;
            tally.merge(&part.tally);
            next = part.next;
        }
        Ok(tally)
    }

    /// Looks at one part, as it is at this moment.
    ///
    /// # Errors
    /// [`StoreError`], but not for what is found.
    pub fn inspect(&self, stretch: &Stretch) -> Result<Part, StoreError> {
        let moment = self.moment()?;
        match *stretch {
            Stretch::Envelopes { from, until } => envelopes(&moment, from, until),
            Stretch::Accounts { from } => accounts(&moment, from),
        }
    }
}

fn envelopes(moment: &Moment<'_>, from: u64, until: Option<u64>) -> Result<Part, StoreError> {
    let (log, index) = (moment.table(LOG), moment.table(INDEX));
    // What comes meanwhile is not waited for.
    let newest = log.last()?.map_or(0, |(key, _)| arrival_of(key.value()));
    let until = until.unwrap_or(newest);
    let (mut tally, mut bytes) = (Tally::default(), 0);
    for item in log.range(&log_key(from, 0)..=&log_key(until, u16::MAX))? {
        let (key, row) = item?;
        let arrival = arrival_of(key.value());
        if *key.value() != log_key(arrival, 0) {
            continue;
        }
        if tally.envelopes == PART_ROWS || bytes >= PART_BYTES {
            let next = Stretch::Envelopes {
                from: arrival,
                until: Some(until),
            };
            return Ok(Part {
                tally,
                next: Some(next),
            });
        }
        let Ok((head, _)) = LogHead::read(row.value()) else {
            tally.unopened();
            continue;
        };
        let place = Place {
            arrival,
            kept: head.kept,
        };
        bytes += u64::from(head.kept.size);
        match envelope::read(&log, &moment.keys, &place) {
            Ok((_, sealed)) => tally.envelope(&sealed),
            Err(StoreError::Damaged(_) | StoreError::Altered) => tally.unopened(),
            Err(error) => return Err(error),
        }
        let listed = index.get(&pair(head.account.0, head.kept.seq))?;
        tally.misplaced +=
            u64::from(listed.is_none_or(|listed| *listed.value() != place.to_bytes()));
    }
    Ok(Part {
        tally,
        next: Some(Stretch::Accounts { from: 0 }),
    })
}

fn accounts(moment: &Moment<'_>, from: u64) -> Result<Part, StoreError> {
    let (accounts, log, index) = (
        moment.table(ACCOUNTS),
        moment.table(LOG),
        moment.table(INDEX),
    );
    let (mut tally, mut rows) = (Tally::default(), 0);
    for item in accounts.range(&from.to_be_bytes()..)? {
        let (number, bytes) = item?;
        let number = u64::from_be_bytes(*number.value());
        if rows >= PART_ROWS {
            return Ok(Part {
                tally,
                next: Some(Stretch::Accounts { from: number }),
            });
        }
        tally.accounts += 1;
        let (mut envelopes_kept, mut bytes_kept) = (0, 0);
        for item in index.range(&pair(number, 0)..=&pair(number, u64::MAX))? {
            let (key, value) = item?;
            let place = Place::from_bytes(second(key.value()), value.value());
            tally.misplaced += u64::from(log.get(&log_key(place.arrival, 0))?.is_none());
            envelopes_kept += 1;
            bytes_kept += place.kept.cost();
        }
        rows += envelopes_kept + 1;
        let agrees = row::account(AccountNumber(number), bytes.value()).is_ok_and(|account| {
            (account.envelopes_kept, account.bytes_kept) == (envelopes_kept, bytes_kept)
        });
        tally.miscounted += u64::from(!agrees);
    }
    Ok(Part { tally, next: None })
}
