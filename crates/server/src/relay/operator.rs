//! Operations for operators: accounts, disk usage, export.

use std::io::Write;
use std::time::Duration;

use graceful_protocol::AccountId;
use graceful_rules::account_list::{AccountDetail, AccountListPage, ListRequest};
use graceful_rules::command::{Command, DeletionRequest, Outcome};
use graceful_rules::latency::Latency;
use graceful_rules::{AccountNumber, Quota};
use graceful_store::{DiskUsage, ExportError, StoreError};

use super::engine::ReadResult;
use super::{Relay, Stopped};
use crate::observe::{NotReadyReason, Readiness};

impl Relay {
    /// Returns the readiness.
    pub fn readiness(&self) -> &Readiness {
        &self.inner.readiness
    }

    /// Returns the time since the start.
    pub fn uptime(&self) -> Duration {
        Duration::from_millis(self.inner.clock.uptime_ms())
    }

    /// Returns relay time: the time this store has been running altogether.
    pub fn running(&self) -> Duration {
        Duration::from_millis(self.inner.clock.now().ms())
    }

    /// Returns the push latency since the last call.
    pub fn take_latency(&self) -> Latency {
        self.inner.writer.latency().take()
    }

    /// Returns the disk usage and the age of the oldest envelope.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn disk_usage(&self) -> Result<(DiskUsage, Option<Duration>), StoreError> {
        let now = self.inner.clock.now();
        let disk_usage = read(self.inner.store.usage().await)?.1;
        self.inner
            .readiness
            .set(NotReadyReason::DiskLow, disk_usage.low_disk_space);
        let age = disk_usage
            .oldest
            .map(|then| Duration::from_millis(now.ms().saturating_sub(then.ms())));
        Ok((disk_usage, age))
    }

    /// Returns a page of the account list.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn list_accounts(&self, page: ListRequest) -> Result<AccountListPage, StoreError> {
        let now = self.inner.clock.now();
        let (entries, next) = read(self.inner.store.list_accounts(page, now).await)?;
        let entries = entries.into_iter().map(|(number, mut entry)| {
            entry.connected = Some(self.connected(number));
            entry
        });
        Ok(AccountListPage {
            entries: entries.collect(),
            next,
        })
    }

    /// Returns the account whose id has this prefix, or why the prefix is not unique.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn account(
        &self,
        letters: String,
    ) -> Result<Result<AccountDetail, String>, StoreError> {
        let now = self.inner.clock.now();
        let found = read(self.inner.store.account_detail(letters, now).await)?;
        Ok(found.map(|(number, mut detail)| {
            detail.entry.connected = Some(self.connected(number));
            detail
        }))
    }

    /// Sets the quota of an account. Returns `false` if the account does not exist.
    ///
    /// # Errors
    /// [`Stopped`]
    pub async fn set_quota(&self, account: AccountId, quota: Quota) -> Result<bool, Stopped> {
        Ok(self.commit(Command::SetQuota { account, quota }).await? == Outcome::QuotaSet)
    }

    /// Deletes an account and disconnects its devices. Returns the number of deleted envelopes, or
    /// `None` if the account does not exist.
    ///
    /// # Errors
    /// [`Stopped`]
    pub async fn delete_account(&self, account: AccountId) -> Result<Option<u64>, Stopped> {
        match self
            .commit(Command::DeleteAccount {
                by: DeletionRequest::Operator(account),
            })
            .await?
        {
            Outcome::AccountDeleted { envelopes } => Ok(Some(envelopes)),
            _ => Ok(None),
        }
    }

    /// Exports a consistent snapshot of the store. Returns the number of rows.
    ///
    /// # Errors
    /// [`ExportError`]
    pub async fn export(&self, out: impl Write + Send + 'static) -> Result<u64, ExportError> {
        let sent = self.inner.store.export(out).await;
        sent.unwrap_or(Err(ExportError::Store(StoreError::Damaged(
            "the export panicked",
        ))))
    }

    fn connected(&self, account: AccountNumber) -> u64 {
        self.inner.connection_limiter.count(account) as u64
    }
}

/// Maps the panic of a read to an error.
pub(super) fn read<T>(read: ReadResult<T>) -> Result<T, StoreError> {
    read.unwrap_or(Err(StoreError::Damaged("a read panicked")))
}
