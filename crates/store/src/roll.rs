//! What an operator sees of accounts and of the room they take: read in passing, nothing kept.

use graceful_protocol::AccountId;
use graceful_rules::roll::{
    Detail, Entry, Gathered, Member, Order, Page, Standing, ids_that_begin,
};
use graceful_rules::{Account, AccountNumber, RelayTime};

use super::moment::Moment;
use super::row::{LogHead, Place};
use super::tables::{ACCOUNT_NUMBERS, ACCOUNTS, INDEX, LOG, log_key, pair, second};
use super::{Store, StoreError, account, row};

/// What is kept, and what room there is for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Holdings {
    /// Bytes of all accounts, as counted against their quotas.
    pub kept_bytes: u64,
    /// Bytes of the store's file on the disk.
    pub file_bytes: u64,
    /// Bytes that this user may still fill; `None` where the system does not say.
    pub free_bytes: Option<u64>,
    /// With fewer free, nothing new is kept.
    pub free_bytes_min: u64,
    /// Nothing new is kept for now.
    pub short_of_room: bool,
    /// When the oldest envelope came.
    pub oldest: Option<RelayTime>,
}

/// Accounts that are read in one moment, for which the writer may have to wait.
const MOMENT_ACCOUNTS: usize = 500;

/// Accounts on the roll, each with the store's number for it.
type Entries = Vec<(AccountNumber, Entry)>;

impl Store {
    /// What is kept, and the room for it.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn holdings(&self) -> Result<Holdings, StoreError> {
        let oldest = match self.moment()?.table(LOG).first()? {
            Some((_, row)) => Some(LogHead::read(row.value())?.0.arrived),
            None => None,
        };
        let (room, kept_bytes) = (self.room.as_ref(), self.totals()?.bytes);
        Ok(Holdings {
            kept_bytes,
            file_bytes: room.map_or(0, super::room::Room::file_bytes),
            free_bytes: room.and_then(super::room::Room::free_bytes),
            free_bytes_min: room.map_or(0, |room| room.free_bytes_min),
            short_of_room: self.is_short_of_room(kept_bytes),
            oldest,
        })
    }

    /// Whether nothing new is kept for now, for lack of room on the disk.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn lacks_room(&self) -> Result<bool, StoreError> {
        Ok(self.is_short_of_room(self.totals()?.bytes))
    }

    /// A page of the roll, with each account's number. All rows of accounts are read for it.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn roll(
        &self,
        page: Page,
        now: RelayTime,
    ) -> Result<(Entries, Option<Standing>), StoreError> {
        let mut gathered = Gathered::new(page);
        let mut from = Some(0);
        while let Some(first) = from {
            from = gather(&self.moment()?, first, page.order, &mut gathered)?;
        }
        let (accounts, next) = gathered.finish();
        let moment = self.moment()?;
        let entries = accounts.iter().map(|account| {
            let newest = newest(&moment, account)?;
            Ok((account.number, self.entry(&moment, account, newest, now)?))
        });
        Ok((entries.collect::<Result<_, StoreError>>()?, next))
    }

    /// The account whose id begins with these letters; in words, where there is none or more than one.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn account_that_begins(
        &self,
        letters: &str,
    ) -> Result<Result<AccountId, String>, StoreError> {
        let (first, last) = match ids_that_begin(letters) {
            Ok(range) => range,
            Err(text) => return Ok(Err(text)),
        };
        let moment = self.moment()?;
        let numbers = moment.table(ACCOUNT_NUMBERS);
        let mut found = numbers.range(first.as_bytes()..=last.as_bytes())?;
        let Some(item) = found.next() else {
            return Ok(Err("no account here has an id that begins so".to_owned()));
        };
        let id = AccountId::new(*item?.0.value());
        Ok(match found.next() {
            Some(_) => {
                Err("more than one account has an id that begins so; give more of it".to_owned())
            }
            None => Ok(id),
        })
    }

    /// One account, with its devices.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn detail(
        &self,
        id: &AccountId,
        now: RelayTime,
    ) -> Result<Option<(AccountNumber, Detail)>, StoreError> {
        let moment = self.moment()?;
        let Some(number) = account::number(&moment.table(ACCOUNT_NUMBERS), id)? else {
            return Ok(None);
        };
        let Some(account) = account::load(&moment.table(ACCOUNTS), number)? else {
            return Ok(None);
        };
        let index = moment.table(INDEX);
        let mut waiting = vec![0; account.devices.len()];
        let (mut oldest, mut newest) = (None, None);
        for item in index.range(&pair(number.0, 0)..=&pair(number.0, u64::MAX))? {
            let (key, value) = item?;
            let place = Place::from_bytes(second(key.value()), value.value());
            oldest = oldest.or(Some(place));
            newest = Some(place);
            for (count, device) in waiting.iter_mut().zip(&account.devices) {
                *count +=
                    u64::from(place.kept.is_for(device.ordinal) && device.cursor < place.kept.seq);
            }
        }
        let members = account
            .devices
            .iter()
            .zip(waiting)
            .map(|(device, waiting)| Member {
                device: device.key.to_string(),
                waiting,
                push_number: device.push_number,
                has_gap: device.gap.is_some(),
            });
        let detail = Detail {
            entry: self.entry(&moment, &account, newest, now)?,
            membership_entries: account.membership_count,
            pushed_ever: account.head,
            oldest_s: oldest
                .map(|place| age_s(&moment, &place, now))
                .transpose()?,
            members: members.collect(),
        };
        Ok(Some((number, detail)))
    }

    fn entry(
        &self,
        moment: &Moment<'_>,
        account: &Account,
        newest: Option<Place>,
        now: RelayTime,
    ) -> Result<Entry, StoreError> {
        let limits = &self.options.limits;
        Ok(Entry {
            account: account.id.to_string(),
            devices: account.devices.len() as u64,
            connected: None,
            bytes: account.bytes_kept,
            envelopes: account.envelopes_kept,
            bytes_max: account.quota.bytes_max(limits),
            envelopes_max: account.quota.envelopes_max(limits),
            quota: account.quota,
            newest_s: newest.map(|place| age_s(moment, &place, now)).transpose()?,
        })
    }
}

/// The newest envelope of those still kept.
fn newest(moment: &Moment<'_>, account: &Account) -> Result<Option<Place>, StoreError> {
    let (first, last) = (
        pair(account.number.0, 0),
        pair(account.number.0, account.head),
    );
    let last = moment.table(INDEX).last_in(&first..=&last)?;
    Ok(last.map(|(key, value)| Place::from_bytes(second(key.value()), value.value())))
}

/// Gathers some accounts from this number on. Returns where to go on.
fn gather(
    moment: &Moment<'_>,
    first: u64,
    order: Order,
    gathered: &mut Gathered,
) -> Result<Option<u64>, StoreError> {
    for (count, item) in moment
        .table(ACCOUNTS)
        .range(&first.to_be_bytes()..)?
        .enumerate()
    {
        let (number, bytes) = item?;
        let number = u64::from_be_bytes(*number.value());
        if count == MOMENT_ACCOUNTS {
            return Ok(Some(number));
        }
        let account = row::account(AccountNumber(number), bytes.value())?;
        let value = match order {
            Order::Devices => account.devices.len() as u64,
            Order::Bytes => account.bytes_kept,
            Order::Envelopes => account.envelopes_kept,
            // Arrivals count from 1: an account without any stands last.
            Order::Activity => newest(moment, &account)?.map_or(0, |place| place.arrival),
        };
        gathered.take(
            Standing {
                value,
                account: number,
            },
            account,
        );
    }
    Ok(None)
}

fn age_s(moment: &Moment<'_>, place: &Place, now: RelayTime) -> Result<u64, StoreError> {
    const MISSING: StoreError =
        StoreError::Damaged("the index names an envelope that the log lacks");
    let row = moment
        .table(LOG)
        .get(&log_key(place.arrival, 0))?
        .ok_or(MISSING)?;
    let (head, _) = LogHead::read(row.value())?;
    Ok(now.ms().saturating_sub(head.arrived.ms()) / 1_000)
}
