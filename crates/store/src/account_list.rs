//! What an operator sees of accounts and of the disk_space they take: read in passing, nothing kept.

use graceful_protocol::AccountId;
use graceful_rules::account_list::{
    AccountDetail, AccountOrder, AccountSummary, DeviceSummary, ListCursor, ListRequest,
    PageBuilder, id_range,
};
use graceful_rules::{Account, AccountNumber, RelayTime};

use super::row::{IndexEntry, LogHead};
use super::snapshot::Snapshot;
use super::tables::{ACCOUNT_NUMBERS, ACCOUNTS, INDEX, LOG, log_key, pair, second};
use super::{Store, StoreError, account, row};

/// What is kept, and what disk_space there is for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskUsage {
    /// Bytes of all accounts, as counted against their quotas.
    pub stored_bytes: u64,
    /// Bytes of the store's file on the disk.
    pub file_bytes: u64,
    /// Bytes that this user may still fill; `None` where the system does not say.
    pub free_bytes: Option<u64>,
    /// With fewer free, nothing new is kept.
    pub free_bytes_min: u64,
    /// Nothing new is kept for now.
    pub low_disk_space: bool,
    /// When the oldest envelope came.
    pub oldest: Option<RelayTime>,
}

/// Accounts that are read in one snapshot, for which the writer may have to wait.
const SNAPSHOT_ACCOUNTS_MAX: usize = 500;

/// Accounts on the roll, each with the store's number for it.
type Entries = Vec<(AccountNumber, AccountSummary)>;

impl Store {
    /// What is kept, and the disk_space for it.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn disk_usage(&self) -> Result<DiskUsage, StoreError> {
        let oldest = match self.snapshot()?.table(LOG).first()? {
            Some((_, row)) => Some(LogHead::decode(row.value())?.0.arrived),
            None => None,
        };
        let (disk_space, stored_bytes) = (self.disk_space.as_ref(), self.totals()?.bytes);
        Ok(DiskUsage {
            stored_bytes,
            file_bytes: disk_space.map_or(0, super::disk_space::DiskSpace::file_bytes),
            free_bytes: disk_space.and_then(super::disk_space::DiskSpace::free_bytes),
            free_bytes_min: disk_space.map_or(0, |disk_space| disk_space.free_bytes_min),
            low_disk_space: self.is_disk_low(stored_bytes),
            oldest,
        })
    }

    /// Whether nothing new is kept for now, for lack of disk_space on the disk.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn has_low_disk_space(&self) -> Result<bool, StoreError> {
        Ok(self.is_disk_low(self.totals()?.bytes))
    }

    /// A page of the roll, with each account's number. All rows of accounts are read for it.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn list_accounts(
        &self,
        page: ListRequest,
        now: RelayTime,
    ) -> Result<(Entries, Option<ListCursor>), StoreError> {
        let mut builder = PageBuilder::new(page);
        let mut from = Some(0);
        while let Some(first) = from {
            from = scan_accounts(&self.snapshot()?, first, page.order, &mut builder)?;
        }
        let (accounts, next) = builder.finish();
        let snapshot = self.snapshot()?;
        let entries = accounts.iter().map(|account| {
            let newest = newest(&snapshot, account)?;
            Ok((account.number, self.entry(&snapshot, account, newest, now)?))
        });
        Ok((entries.collect::<Result<_, StoreError>>()?, next))
    }

    /// The account whose id begins with these id_prefix; in words, where there is none or more than one.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn find_account_by_prefix(
        &self,
        id_prefix: &str,
    ) -> Result<Result<AccountId, String>, StoreError> {
        let (first, last) = match id_range(id_prefix) {
            Ok(range) => range,
            Err(text) => return Ok(Err(text)),
        };
        let snapshot = self.snapshot()?;
        let numbers = snapshot.table(ACCOUNT_NUMBERS);
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
    pub fn account_detail(
        &self,
        id: &AccountId,
        now: RelayTime,
    ) -> Result<Option<(AccountNumber, AccountDetail)>, StoreError> {
        let snapshot = self.snapshot()?;
        let Some(number) = account::number(&snapshot.table(ACCOUNT_NUMBERS), id)? else {
            return Ok(None);
        };
        let Some(account) = account::load(&snapshot.table(ACCOUNTS), number)? else {
            return Ok(None);
        };
        let index = snapshot.table(INDEX);
        let mut waiting = vec![0; account.devices.len()];
        let (mut oldest, mut newest) = (None, None);
        for item in index.range(&pair(number.0, 0)..=&pair(number.0, u64::MAX))? {
            let (key, value) = item?;
            let index_entry = IndexEntry::from_bytes(second(key.value()), value.value());
            oldest = oldest.or(Some(index_entry));
            newest = Some(index_entry);
            for (count, device) in waiting.iter_mut().zip(&account.devices) {
                *count += u64::from(
                    index_entry.meta.is_for(device.device_index)
                        && device.cursor < index_entry.meta.seq,
                );
            }
        }
        let members = account
            .devices
            .iter()
            .zip(waiting)
            .map(|(device, waiting)| DeviceSummary {
                device: device.key.to_string(),
                waiting,
                push_number: device.push_number,
                has_gap: device.gap.is_some(),
            });
        let detail = AccountDetail {
            entry: self.entry(&snapshot, &account, newest, now)?,
            membership_entries: account.membership_count,
            pushed_ever: account.head,
            oldest_s: oldest
                .map(|index_entry| age_s(&snapshot, &index_entry, now))
                .transpose()?,
            members: members.collect(),
        };
        Ok(Some((number, detail)))
    }

    fn entry(
        &self,
        snapshot: &Snapshot<'_>,
        account: &Account,
        newest: Option<IndexEntry>,
        now: RelayTime,
    ) -> Result<AccountSummary, StoreError> {
        let limits = &self.options.limits;
        Ok(AccountSummary {
            account: account.id.to_string(),
            devices: account.devices.len() as u64,
            connected: None,
            bytes: account.stored_bytes,
            envelopes: account.stored_envelopes,
            bytes_max: account.quota.bytes_max(limits),
            envelopes_max: account.quota.envelopes_max(limits),
            quota: account.quota,
            newest_s: newest
                .map(|index_entry| age_s(snapshot, &index_entry, now))
                .transpose()?,
        })
    }
}

/// The newest envelope of those still kept.
fn newest(snapshot: &Snapshot<'_>, account: &Account) -> Result<Option<IndexEntry>, StoreError> {
    let (first, last) = (
        pair(account.number.0, 0),
        pair(account.number.0, account.head),
    );
    let last = snapshot.table(INDEX).last_in(&first..=&last)?;
    Ok(last.map(|(key, value)| IndexEntry::from_bytes(second(key.value()), value.value())))
}

/// Gathers some accounts from this number on. Returns where to go on.
fn scan_accounts(
    snapshot: &Snapshot<'_>,
    first: u64,
    order: AccountOrder,
    builder: &mut PageBuilder,
) -> Result<Option<u64>, StoreError> {
    for (count, item) in snapshot
        .table(ACCOUNTS)
        .range(&first.to_be_bytes()..)?
        .enumerate()
    {
        let (number, bytes) = item?;
        let number = u64::from_be_bytes(*number.value());
        if count == SNAPSHOT_ACCOUNTS_MAX {
            return Ok(Some(number));
        }
        let account = row::decode_account(AccountNumber(number), bytes.value())?;
        let value = match order {
            AccountOrder::Devices => account.devices.len() as u64,
            AccountOrder::Bytes => account.stored_bytes,
            AccountOrder::Envelopes => account.stored_envelopes,
            // Arrivals count from 1: an account without any stands last.
            AccountOrder::Activity => {
                newest(snapshot, &account)?.map_or(0, |index_entry| index_entry.arrival)
            }
        };
        builder.take(
            ListCursor {
                value,
                account: number,
            },
            account,
        );
    }
    Ok(None)
}

fn age_s(
    snapshot: &Snapshot<'_>,
    index_entry: &IndexEntry,
    now: RelayTime,
) -> Result<u64, StoreError> {
    const MISSING: StoreError =
        StoreError::Damaged("the index names an envelope that the log lacks");
    let row = snapshot
        .table(LOG)
        .get(&log_key(index_entry.arrival, 0))?
        .ok_or(MISSING)?;
    let (head, _) = LogHead::decode(row.value())?;
    Ok(now.ms().saturating_sub(head.arrived.ms()) / 1_000)
}
