//! The accounts of a run: created before it, deleted after it, also on errors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use graceful_protocol::Code;
use graceful_raw_client::{Connector, RawAccount, RawClient, RawConnection, RawError};

/// Concurrent connection attempts, below a relay's limits.
const AT_A_TIME: usize = 16;
/// How long deletions are retried on a busy relay.
const DELETE_TIMEOUT: Duration = Duration::from_secs(90);
const DELETE_RETRY_DELAY: Duration = Duration::from_secs(2);

/// Accounts at one relay.
pub struct Accounts {
    connector: Arc<Connector>,
    entries: Vec<Arc<Entry>>,
}

/// One account, which the relay may know once its creation was attempted.
struct Entry {
    creator: RawClient,
    tried: AtomicBool,
    deleted: AtomicBool,
}

/// How many accounts and devices to create.
#[derive(Clone, Copy)]
pub struct AccountPlan {
    /// Accounts.
    pub accounts: usize,
    /// Devices in each.
    pub devices: usize,
}

/// A connected and authenticated device.
pub struct ProvisionedDevice {
    /// Its account, counted from 0.
    pub account: usize,
    /// Its index in the account; 0 is the creator.
    pub device: usize,
    /// Its connection.
    pub connection: RawConnection,
    /// Time from connecting to the greeting.
    pub connecting: Duration,
}

/// The result of deleting the accounts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Deleted accounts.
    pub accounts: u64,
    /// Their envelopes.
    pub envelopes: u64,
    /// Accounts that could not be deleted.
    pub left: u64,
}

impl Accounts {
    /// No accounts yet.
    pub fn new(connector: Connector) -> Self {
        Self {
            connector: Arc::new(connector),
            entries: Vec::new(),
        }
    }

    /// Creates the accounts and connects all their devices; `progress` gets the number so far. After the
    /// first error or a stop, no further ones start; those started finish, since an account can be deleted
    /// only once the relay has answered its creation.
    ///
    /// # Errors
    /// The first error; the accounts created so far remain to be deleted.
    pub async fn create(
        &mut self,
        plan: AccountPlan,
        invites: &[String],
        stop: &CancellationToken,
        progress: impl Fn(u64),
    ) -> Result<Vec<ProvisionedDevice>, RawError> {
        let stop = stop.child_token();
        let permits = Arc::new(Semaphore::new(AT_A_TIME));
        let mut tasks = JoinSet::new();
        for number in 0..plan.accounts {
            let account = RawAccount::generate();
            let entry = Entry {
                creator: account.devices()[0].clone(),
                tried: AtomicBool::new(false),
                deleted: AtomicBool::new(false),
            };
            let entry = Arc::new(entry);
            self.entries.push(entry.clone());
            let invite = invites.get(number).cloned().unwrap_or_default();
            let (connector, permits, stop) =
                (self.connector.clone(), permits.clone(), stop.clone());
            tasks.spawn(async move {
                let _permit = permits.acquire_owned().await;
                if stop.is_cancelled() {
                    return Ok(Vec::new());
                }
                provision(number, plan.devices, account, &connector, &entry, &invite).await
            });
        }
        let (mut all, mut trouble) = (Vec::new(), None);
        while let Some(done) = tasks.join_next().await {
            match done.unwrap_or_else(|error| Err(RawError::Broken(error.to_string()))) {
                Ok(provisioned) => all.extend(provisioned),
                Err(error) => {
                    stop.cancel();
                    trouble = trouble.or(Some(error));
                }
            }
            progress(all.len() as u64);
        }
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        all.sort_by_key(|slot| (slot.device, slot.account));
        Ok(all)
    }

    /// Deletes every account that the relay may know, over the creators' connections that still work.
    pub async fn delete_all(&self, mut creators: Vec<(usize, RawConnection)>) -> Deleted {
        let permits = Arc::new(Semaphore::new(AT_A_TIME));
        let mut tasks = JoinSet::new();
        for (number, entry) in self.entries.iter().enumerate() {
            if !entry.tried.load(Ordering::Relaxed) || entry.deleted.load(Ordering::Relaxed) {
                continue;
            }
            let at = creators.iter().position(|(account, _)| *account == number);
            let connection = at.map(|at| creators.swap_remove(at).1);
            let (connector, permits, entry) =
                (self.connector.clone(), permits.clone(), entry.clone());
            tasks.spawn(async move {
                let _permit = permits.acquire_owned().await;
                delete(&entry, connection, &connector).await
            });
        }
        let mut deleted = Deleted::default();
        while let Some(done) = tasks.join_next().await {
            match done {
                Ok(Ok(envelopes)) => {
                    deleted.accounts += 1;
                    deleted.envelopes += envelopes;
                }
                _ => deleted.left += 1,
            }
        }
        deleted
    }
}

/// Creates one account and connects its devices.
async fn provision(
    number: usize,
    devices: usize,
    mut account: RawAccount,
    connector: &Connector,
    entry: &Entry,
    invite: &str,
) -> Result<Vec<ProvisionedDevice>, RawError> {
    let (mut creator, connecting) = dial(connector).await?;
    entry.tried.store(true, Ordering::Relaxed);
    creator.create_account(&account, invite).await?;
    for _ in 1..devices {
        let added = account.add();
        creator
            .append_membership(added, account.devices().len() as u64)
            .await?;
    }
    let mut provisioned = vec![ProvisionedDevice {
        account: number,
        device: 0,
        connection: creator,
        connecting,
    }];
    for (device, keys) in account.devices().iter().enumerate().skip(1) {
        let (mut connection, connecting) = dial(connector).await?;
        connection.authenticate(keys).await?;
        provisioned.push(ProvisionedDevice {
            account: number,
            device,
            connection,
            connecting,
        });
    }
    Ok(provisioned)
}

async fn dial(connector: &Connector) -> Result<(RawConnection, Duration), RawError> {
    let started = Instant::now();
    let connection = connector.dial().await?;
    Ok((connection, started.elapsed()))
}

async fn delete(
    entry: &Entry,
    connection: Option<RawConnection>,
    connector: &Connector,
) -> Result<u64, RawError> {
    let deadline = Instant::now() + DELETE_TIMEOUT;
    let mut connection = connection;
    loop {
        let closing = match connection.take() {
            Some(mut connection) => connection.delete_account(&entry.creator).await,
            None => delete_reconnecting(entry, connector).await,
        };
        match closing {
            Ok(envelopes) => {
                entry.deleted.store(true, Ordering::Relaxed);
                return Ok(envelopes);
            }
            // It was never created, or an earlier deletion succeeded.
            Err(trouble) if trouble.is_unknown() => {
                entry.deleted.store(true, Ordering::Relaxed);
                return Ok(0);
            }
            Err(trouble) if !is_transient(&trouble) || Instant::now() > deadline => {
                return Err(trouble);
            }
            Err(_) => tokio::time::sleep(DELETE_RETRY_DELAY).await,
        }
    }
}

async fn delete_reconnecting(entry: &Entry, connector: &Connector) -> Result<u64, RawError> {
    let mut connection = connector.dial().await?;
    connection.authenticate(&entry.creator).await?;
    connection.delete_account(&entry.creator).await
}

/// Whether the relay is only busy.
fn is_transient(trouble: &RawError) -> bool {
    match trouble {
        RawError::HttpStatus { .. } | RawError::Broken(_) => true,
        RawError::Refused(refusal) => {
            refusal.retry_after_ms > 0 || refusal.code == Code::Overloaded
        }
    }
}
