//! The storage engine of a relay, behind one asynchronous interface.
//!
//! Both engines are local: their reads run on threads that may wait for the disk, and their commits on the
//! writer thread. An engine on other machines would await its answers here.

use std::io::Write;
use std::sync::Arc;

use graceful_protocol::{AccountId, DeviceKey};
use graceful_rules::account_list::{AccountDetail, ListCursor, ListRequest};
use graceful_rules::audit::{ScanPage, ScanRange};
use graceful_rules::command::{Command, DeviceState, Fetch, FetchResult, RecoverableAccount};
use graceful_rules::{AccountNumber, RelayTime};
use graceful_store::{
    AccountSummaries, Committed, DiskUsage, Engine as _, ExportError, Identity, MemoryStore,
    Policy, RedbEngine, Store, StoreError, Totals,
};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

/// The result of a read on another thread.
pub(super) type ReadResult<T> = Result<Result<T, StoreError>, JoinError>;

/// A store that is open and not started.
pub enum Backend {
    /// On redb.
    Redb(Box<Store>),
    /// In memory.
    Memory(Box<MemoryStore>),
}

impl From<Store> for Backend {
    fn from(store: Store) -> Self {
        Self::Redb(Box::new(store))
    }
}

impl From<MemoryStore> for Backend {
    fn from(store: MemoryStore) -> Self {
        Self::Memory(Box::new(store))
    }
}

/// A running engine. Clones are handles to the same one.
#[derive(Clone)]
pub(super) enum Engine {
    Redb(Arc<RedbEngine>),
    Memory(Arc<MemoryStore>),
}

/// Evaluates an expression on whichever engine it is.
macro_rules! on {
    ($engine:expr, $store:ident => $body:expr) => {
        match $engine {
            Engine::Redb($store) => $body,
            Engine::Memory($store) => $body,
        }
    };
}

/// The same on a thread that may wait for the disk.
macro_rules! spawn_on {
    ($engine:expr, $store:ident => $body:expr) => {
        on!($engine, $store => {
            let $store = $store.clone();
            spawn_blocking(move || $body)
        })
    };
}

impl Engine {
    /// Starts an engine. `on_failure` runs if it fails in the background.
    pub(super) fn start(backend: Backend, on_failure: impl FnOnce() + Send + 'static) -> Self {
        match backend {
            Backend::Redb(store) => Self::Redb(Arc::new(RedbEngine::start(*store, on_failure))),
            Backend::Memory(store) => Self::Memory(Arc::from(store)),
        }
    }

    pub(super) fn identity(&self) -> Identity {
        on!(self, store => store.identity())
    }

    pub(super) fn clock_at_open(&self) -> RelayTime {
        on!(self, store => store.clock_at_open())
    }

    pub(super) fn policy(&self) -> Policy<'_> {
        on!(self, store => store.policy())
    }

    /// Applies commands in one transaction. For the writer thread: it waits for the disk.
    pub(super) fn commit(
        &self,
        commands: &[Command],
        now: RelayTime,
    ) -> Result<Committed, StoreError> {
        on!(self, store => store.commit(commands, now))
    }

    pub(super) async fn find(
        &self,
        account: AccountId,
        device: DeviceKey,
    ) -> ReadResult<Option<DeviceState>> {
        spawn_on!(self, store => store.find(&account, &device)).await
    }

    pub(super) async fn find_recovery(
        &self,
        key: DeviceKey,
    ) -> ReadResult<Option<RecoverableAccount>> {
        spawn_on!(self, store => store.find_recovery(&key)).await
    }

    /// Fetches on the calling thread: for what was committed a moment ago and is in memory.
    pub(super) fn fetch_inline(
        &self,
        fetch: &Fetch,
        now: RelayTime,
    ) -> Result<FetchResult, StoreError> {
        on!(self, store => store.fetch(fetch, now))
    }

    pub(super) fn spawn_fetch(
        &self,
        fetch: Fetch,
        now: RelayTime,
    ) -> JoinHandle<Result<FetchResult, StoreError>> {
        spawn_on!(self, store => store.fetch(&fetch, now))
    }

    pub(super) fn spawn_fetch_membership(
        &self,
        account: AccountNumber,
        entries_from: u64,
    ) -> JoinHandle<Result<FetchResult, StoreError>> {
        spawn_on!(self, store => store.fetch_membership(account, entries_from))
    }

    pub(super) fn totals(&self) -> Result<Totals, StoreError> {
        on!(self, store => store.totals())
    }

    pub(super) async fn usage(&self) -> ReadResult<(Totals, DiskUsage)> {
        spawn_on!(self, store => Ok((store.totals()?, store.disk_usage()?))).await
    }

    pub(super) async fn list_accounts(
        &self,
        request: ListRequest,
        now: RelayTime,
    ) -> ReadResult<(AccountSummaries, Option<ListCursor>)> {
        spawn_on!(self, store => store.list_accounts(request, now)).await
    }

    /// Returns the account whose id has this prefix, or a message if there is no such account.
    pub(super) async fn account_detail(
        &self,
        id_prefix: String,
        now: RelayTime,
    ) -> ReadResult<Result<(AccountNumber, AccountDetail), String>> {
        spawn_on!(self, store => {
            let id = match store.find_account_by_prefix(&id_prefix)? {
                Ok(id) => id,
                Err(message) => return Ok(Err(message)),
            };
            let gone = "the account was deleted just now".to_owned();
            Ok(store.account_detail(&id, now)?.ok_or(gone))
        })
        .await
    }

    pub(super) async fn audit(&self, range: ScanRange) -> ReadResult<ScanPage> {
        spawn_on!(self, store => store.audit(&range)).await
    }

    /// Exports everything stored. Returns the number of rows.
    pub(super) async fn export(
        &self,
        mut out: impl Write + Send + 'static,
    ) -> Result<Result<u64, ExportError>, JoinError> {
        match self {
            Self::Redb(store) => {
                let store = store.clone();
                spawn_blocking(move || store.export(&mut out)).await
            }
            Self::Memory(_) => Ok(Err(ExportError::Malformed(
                "the relay keeps its store in memory only",
            ))),
        }
    }

    /// Returns whether envelopes have expired, and whether the disk is nearly full.
    pub(super) async fn check_due(&self, now: RelayTime) -> ReadResult<(bool, bool)> {
        spawn_on!(self, store => Ok((store.has_expired(now)?, store.has_low_disk_space()?))).await
    }

    /// Does the engine's own maintenance.
    pub(super) async fn maintain(&self, now: RelayTime, ready: bool) -> ReadResult<()> {
        match self {
            Self::Redb(store) => {
                let store = store.clone();
                spawn_blocking(move || store.maintain(now, ready)).await
            }
            Self::Memory(_) => Ok(Ok(())),
        }
    }

    /// Brings everything to the place where it stays: what is committed is durable without it, but a start
    /// after it is quicker.
    pub(super) async fn checkpoint(&self) -> ReadResult<()> {
        match self {
            Self::Redb(store) => {
                let store = store.clone();
                spawn_blocking(move || store.checkpoint()).await
            }
            Self::Memory(_) => Ok(Ok(())),
        }
    }

    /// Closes the store. No commit may follow.
    pub(super) async fn close(&self) -> ReadResult<()> {
        match self {
            Self::Redb(store) => {
                let store = store.clone();
                spawn_blocking(move || store.close()).await
            }
            Self::Memory(_) => Ok(Ok(())),
        }
    }
}
