//! What every storage engine offers. Synchronous: an engine that waits for other machines offers the same
//! asynchronously, on the same functions.

use graceful_protocol::{AccountId, DeviceKey};
use graceful_rules::account_list::{
    AccountDetail, AccountSummary, ListCursor, ListRequest, PageBuilder,
};
use graceful_rules::audit::{AuditCounts, ScanPage, ScanRange};
use graceful_rules::command::{Command, DeviceState, Fetch, FetchResult, RecoverableAccount};
use graceful_rules::expiry::is_expired;
use graceful_rules::{AccountNumber, RelayTime};

use crate::{Committed, Identity, Policy, Rows, StoreError, Totals, read};

/// Accounts in a listing, each with its number.
pub type AccountSummaries = Vec<(AccountNumber, AccountSummary)>;

/// The space that the store takes on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskUsage {
    /// Bytes of all accounts, as counted against their quotas.
    pub stored_bytes: u64,
    /// Bytes of the store's file on the disk.
    pub file_bytes: u64,
    /// Bytes still free for this user; `None` if the system does not say.
    pub free_bytes: Option<u64>,
    /// With fewer bytes free, nothing new is stored.
    pub free_bytes_min: u64,
    /// Nothing new is stored at present.
    pub low_disk_space: bool,
    /// When the oldest envelope was stored.
    pub oldest: Option<RelayTime>,
}

/// A storage engine.
pub trait Engine {
    /// The rows of one snapshot.
    type Rows<'a>: Rows;

    /// Reads from one consistent snapshot.
    ///
    /// # Errors
    /// [`StoreError`]
    fn read<R>(
        &self,
        read: impl FnOnce(&Self::Rows<'_>) -> Result<R, StoreError>,
    ) -> Result<R, StoreError>;

    /// Applies commands in one transaction, in order, at this relay time. They are durable when it
    /// returns, and outcomes may be sent from then on.
    ///
    /// # Errors
    /// [`StoreError`]: it is unknown which commands are durable, and the process has to end.
    fn commit(&self, commands: &[Command], now: RelayTime) -> Result<Committed, StoreError>;

    /// Returns the limits that the engine applies.
    fn policy(&self) -> Policy<'_>;

    /// Returns the identity of the store.
    fn identity(&self) -> Identity;

    /// Returns the relay time of the last commit before the store was opened.
    fn clock_at_open(&self) -> RelayTime;

    /// Returns whether nothing new is stored because the disk is nearly full.
    ///
    /// # Errors
    /// [`StoreError`]
    fn has_low_disk_space(&self) -> Result<bool, StoreError>;

    /// Returns the space that the store takes.
    ///
    /// # Errors
    /// [`StoreError`]
    fn disk_usage(&self) -> Result<DiskUsage, StoreError>;

    /// Audits one page of the store.
    ///
    /// # Errors
    /// [`StoreError`], but not for what the audit finds.
    fn audit(&self, range: &ScanRange) -> Result<ScanPage, StoreError>;

    /// Returns the number of rows of all accounts: 0 when the last account is deleted.
    ///
    /// # Errors
    /// [`StoreError`]
    fn account_row_count(&self) -> Result<u64, StoreError>;

    /// Returns the state of a device, if it is a member. For any other device the time that this takes
    /// does not depend on whether the account exists.
    ///
    /// # Errors
    /// [`StoreError`]
    fn find(&self, id: &AccountId, device: &DeviceKey) -> Result<Option<DeviceState>, StoreError> {
        self.read(|rows| read::find_device(rows, id, device))
    }

    /// Returns the account of a recovery key.
    ///
    /// # Errors
    /// [`StoreError`]
    fn find_recovery(&self, key: &DeviceKey) -> Result<Option<RecoverableAccount>, StoreError> {
        self.read(|rows| read::find_recovery(rows, key))
    }

    /// Returns what a device has not fetched yet.
    ///
    /// # Errors
    /// [`StoreError`]
    fn fetch(&self, fetch: &Fetch, now: RelayTime) -> Result<FetchResult, StoreError> {
        self.read(|rows| read::fetch(rows, fetch, now, self.policy().limits))
    }

    /// Returns a membership log from an index on.
    ///
    /// # Errors
    /// [`StoreError`]
    fn fetch_membership(
        &self,
        account: AccountNumber,
        entries_from: u64,
    ) -> Result<FetchResult, StoreError> {
        self.read(|rows| read::fetch_membership(rows, account, entries_from, self.policy().limits))
    }

    /// Returns whether the oldest envelope has expired.
    ///
    /// # Errors
    /// [`StoreError`]
    fn has_expired(&self, now: RelayTime) -> Result<bool, StoreError> {
        self.read(|rows| match rows.oldest()?.next().transpose()? {
            Some((header, _)) => Ok(is_expired(header.arrived, now, self.policy().limits)),
            None => Ok(false),
        })
    }

    /// Returns the totals over all accounts.
    ///
    /// # Errors
    /// [`StoreError`]
    fn totals(&self) -> Result<Totals, StoreError> {
        self.read(|rows| rows.totals())
    }

    /// Returns a page of accounts. Reads the row of every account.
    ///
    /// # Errors
    /// [`StoreError`]
    fn list_accounts(
        &self,
        request: ListRequest,
        now: RelayTime,
    ) -> Result<(AccountSummaries, Option<ListCursor>), StoreError> {
        let mut builder = PageBuilder::new(request);
        let mut from = Some(AccountNumber(0));
        while let Some(first) = from {
            from =
                self.read(|rows| read::scan_accounts(rows, first, request.order, &mut builder))?;
        }
        let (accounts, next) = builder.finish();
        let summaries =
            self.read(|rows| read::account_summaries(rows, &accounts, now, self.policy().limits))?;
        Ok((summaries, next))
    }

    /// Returns the account whose id has this prefix, or a message if there is none or more than one.
    ///
    /// # Errors
    /// [`StoreError`]
    fn find_account_by_prefix(
        &self,
        id_prefix: &str,
    ) -> Result<Result<AccountId, String>, StoreError> {
        self.read(|rows| read::find_account_by_prefix(rows, id_prefix))
    }

    /// Returns an account with its devices.
    ///
    /// # Errors
    /// [`StoreError`]
    fn account_detail(
        &self,
        id: &AccountId,
        now: RelayTime,
    ) -> Result<Option<(AccountNumber, AccountDetail)>, StoreError> {
        self.read(|rows| read::account_detail(rows, id, now, self.policy().limits))
    }

    /// Audits the whole store, page by page. `progress` receives the number of envelopes so far.
    ///
    /// # Errors
    /// [`StoreError`]
    fn audit_all(&self, progress: &mut dyn FnMut(u64)) -> Result<AuditCounts, StoreError> {
        let (mut counts, mut next) = (AuditCounts::default(), Some(ScanRange::FIRST));
        while let Some(range) = next {
            progress(counts.envelopes);
            let page = self.audit(&range)?;
            counts.merge(&page.counts);
            next = page.next;
        }
        Ok(counts)
    }
}
