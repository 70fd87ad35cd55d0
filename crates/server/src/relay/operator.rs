//! What an operator asks of a running relay: the roll of accounts, the room it takes, and what may be
//! done to one account. Whatever changes takes the ordinary road.

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
    /// Whether it serves devices, and why not.
    pub fn readiness(&self) -> &Readiness {
        &self.inner.readiness
    }

    /// How long it has been running.
    pub fn uptime(&self) -> Duration {
        Duration::from_millis(self.inner.clock.uptime_ms())
    }

    /// Its own time: how long it has been running altogether, since its store was made.
    pub fn running(&self) -> Duration {
        Duration::from_millis(self.inner.clock.now().ms())
    }

    /// How long pushes took to be stored, since this was last asked.
    pub fn take_latency(&self) -> Latency {
        self.inner.writer.latency().take()
    }

    /// What is kept, and the room for it; and how long ago the oldest envelope came.
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

    /// A page of the roll.
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

    /// The account whose id begins with these letters; in words, where that is not one.
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

    /// Lets an account keep more or less than others. `false`: there is no such account.
    ///
    /// # Errors
    /// [`Stopped`]
    pub async fn set_quota(&self, account: AccountId, quota: Quota) -> Result<bool, Stopped> {
        Ok(self.commit(Command::SetQuota { account, quota }).await? == Outcome::QuotaSet)
    }

    /// Deletes everything of an account, and tells its devices that are connected. Says how many
    /// envelopes went; `None`: there is no such account.
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

    /// Sends all that is kept, as it is at one moment. Returns how many rows there are.
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

/// The result of a read, whose panic is an error as well.
pub(super) fn read<T>(read: ReadResult<T>) -> Result<T, StoreError> {
    read.unwrap_or(Err(StoreError::Damaged("a read panicked")))
}
