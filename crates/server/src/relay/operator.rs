//! What an operator asks of a running relay: the roll of accounts, the room it takes, and what may be
//! done to one account. Whatever changes takes the ordinary road.

use std::io::Write;
use std::time::Duration;

use graceful_protocol::AccountId;
use graceful_rules::change::{Change, Outcome};
use graceful_rules::latency::Latency;
use graceful_rules::roll::{Detail, Listed, Page};
use graceful_rules::{AccountNumber, Quota};
use graceful_store::{DumpError, Holdings, Store, StoreError};

use super::condition::Conditions;
use super::{Relay, Stopped};

impl Relay {
    /// What is the matter with it, and where that is told.
    pub fn conditions(&self) -> &Conditions {
        &self.inner.conditions
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
        self.inner.writer.stopwatch().take()
    }

    /// What is kept, and the room for it; and how long ago the oldest envelope came.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn holdings(&self) -> Result<(Holdings, Option<Duration>), StoreError> {
        let now = self.inner.clock.now();
        let holdings = self.look_in(|store| store.holdings()).await?;
        let age = holdings
            .oldest
            .map(|then| Duration::from_millis(now.ms().saturating_sub(then.ms())));
        Ok((holdings, age))
    }

    /// A page of the roll.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn roll(&self, page: Page) -> Result<Listed, StoreError> {
        let now = self.inner.clock.now();
        let (entries, next) = self.look_in(move |store| store.roll(page, now)).await?;
        let entries = entries.into_iter().map(|(number, mut entry)| {
            entry.connected = Some(self.connected(number));
            entry
        });
        Ok(Listed {
            entries: entries.collect(),
            next,
        })
    }

    /// The account whose id begins with these letters; in words, where that is not one.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn account(&self, letters: String) -> Result<Result<Detail, String>, StoreError> {
        let now = self.inner.clock.now();
        let found = self.look_in(move |store| {
            let id = match store.account_that_begins(&letters)? {
                Ok(id) => id,
                Err(text) => return Ok(Err(text)),
            };
            let gone = "the account was closed a moment ago".to_owned();
            Ok(store.detail(&id, now)?.ok_or(gone))
        });
        Ok(found.await?.map(|(number, mut detail)| {
            detail.entry.connected = Some(self.connected(number));
            detail
        }))
    }

    /// Lets an account keep more or less than others. `false`: there is no such account.
    ///
    /// # Errors
    /// [`Stopped`]
    pub async fn set_quota(&self, account: AccountId, quota: Quota) -> Result<bool, Stopped> {
        Ok(self.change(Change::SetQuota { account, quota }).await? == Outcome::QuotaSet)
    }

    /// Deletes everything of an account, and tells its devices that are connected. Says how many
    /// envelopes went; `None`: there is no such account.
    ///
    /// # Errors
    /// [`Stopped`]
    pub async fn evict(&self, account: AccountId) -> Result<Option<u64>, Stopped> {
        match self.change(Change::Evict { account }).await? {
            Outcome::Closed { envelopes } => Ok(Some(envelopes)),
            _ => Ok(None),
        }
    }

    /// Sends all that is kept, as it is at one moment. Returns how many rows there are.
    ///
    /// # Errors
    /// [`DumpError`]
    pub async fn dump(&self, mut out: impl Write + Send + 'static) -> Result<u64, DumpError> {
        let store = self.inner.store.clone();
        let sent = tokio::task::spawn_blocking(move || store.dump(&mut out)).await;
        sent.unwrap_or(Err(DumpError::Store(StoreError::Damaged(
            "reading it ended badly",
        ))))
    }

    fn connected(&self, account: AccountNumber) -> u64 {
        self.inner.seats.taken(account) as u64
    }

    /// On a thread of its own: reading waits for the disk.
    async fn look_in<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.inner.store.clone();
        let looked = tokio::task::spawn_blocking(move || look(&store)).await;
        looked.unwrap_or(Err(StoreError::Damaged("looking at it ended badly")))
    }
}
