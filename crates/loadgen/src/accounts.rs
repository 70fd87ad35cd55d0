//! The accounts of a run: founded before it, closed after it, whatever happens between.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use graceful_protocol::Code;
use graceful_raw_client::{Connector, RawAccount, RawClient, RawConnection, RawError};

/// Connections that are begun or ended at a time: no more than a relay takes for a rush.
const AT_A_TIME: usize = 16;
/// For closing accounts, a relay that is busy is asked again for so long.
const CLOSE_PATIENCE: Duration = Duration::from_secs(90);
const CLOSE_PAUSE: Duration = Duration::from_secs(2);

/// The accounts, and the relay that they are at.
pub struct Accounts {
    connector: Arc<Connector>,
    entries: Vec<Arc<Entry>>,
}

/// One account, known to the relay from when it was tried to found it.
struct Entry {
    creator: RawClient,
    tried: AtomicBool,
    closed: AtomicBool,
}

/// What is to be founded.
#[derive(Clone, Copy)]
pub struct Wanted {
    /// How many accounts.
    pub accounts: usize,
    /// Devices in each.
    pub devices: usize,
}

/// A device that is connected and welcome.
pub struct ProvisionedDevice {
    /// Which account it belongs to, counted from 0.
    pub account: usize,
    /// Which device of it, the creator first.
    pub device: usize,
    /// Its connection.
    pub conversation: RawConnection,
    /// How long connecting took, from dialling to the greeting.
    pub connecting: Duration,
}

/// What closing came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Closed {
    /// Accounts of which nothing remains.
    pub accounts: u64,
    /// Envelopes that went with them.
    pub envelopes: u64,
    /// Accounts that could not be closed.
    pub left: u64,
}

impl Accounts {
    /// None yet.
    pub fn new(connector: Connector) -> Self {
        Self {
            connector: Arc::new(connector),
            entries: Vec::new(),
        }
    }

    /// Founds the accounts and connects all their devices. `seated` hears how many are. After the first
    /// trouble, or when told to stop, no more are begun; what is begun is brought to its end, for an account
    /// can be closed only when the relay has answered for it.
    ///
    /// # Errors
    /// The first trouble; what was founded so far stays to be closed.
    pub async fn create(
        &mut self,
        wanted: Wanted,
        invites: &[String],
        stop: &CancellationToken,
        seated: impl Fn(u64),
    ) -> Result<Vec<ProvisionedDevice>, RawError> {
        let stop = stop.child_token();
        let permits = Arc::new(Semaphore::new(AT_A_TIME));
        let mut tasks = JoinSet::new();
        for number in 0..wanted.accounts {
            let account = RawAccount::new();
            let entry = Entry {
                creator: account.devices()[0].clone(),
                tried: AtomicBool::new(false),
                closed: AtomicBool::new(false),
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
                household(number, wanted.devices, account, &connector, &entry, &invite).await
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
            seated(all.len() as u64);
        }
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        all.sort_by_key(|slot| (slot.device, slot.account));
        Ok(all)
    }

    /// Closes every account that the relay may know, over these connections of their creators where they
    /// still serve.
    pub async fn close(&self, mut creators: Vec<(usize, RawConnection)>) -> Closed {
        let permits = Arc::new(Semaphore::new(AT_A_TIME));
        let mut tasks = JoinSet::new();
        for (number, entry) in self.entries.iter().enumerate() {
            if !entry.tried.load(Ordering::Relaxed) || entry.closed.load(Ordering::Relaxed) {
                continue;
            }
            let at = creators.iter().position(|(account, _)| *account == number);
            let conversation = at.map(|at| creators.swap_remove(at).1);
            let (connector, permits, entry) =
                (self.connector.clone(), permits.clone(), entry.clone());
            tasks.spawn(async move {
                let _permit = permits.acquire_owned().await;
                close(&entry, conversation, &connector).await
            });
        }
        let mut closed = Closed::default();
        while let Some(done) = tasks.join_next().await {
            match done {
                Ok(Ok(envelopes)) => {
                    closed.accounts += 1;
                    closed.envelopes += envelopes;
                }
                _ => closed.left += 1,
            }
        }
        closed
    }
}

/// Founds one account, and connects its devices.
async fn household(
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
        conversation: creator,
        connecting,
    }];
    for (device, keys) in account.devices().iter().enumerate().skip(1) {
        let (mut conversation, connecting) = dial(connector).await?;
        conversation.authenticate(keys).await?;
        provisioned.push(ProvisionedDevice {
            account: number,
            device,
            conversation,
            connecting,
        });
    }
    Ok(provisioned)
}

async fn dial(connector: &Connector) -> Result<(RawConnection, Duration), RawError> {
    let begun = Instant::now();
    let conversation = connector.dial().await?;
    Ok((conversation, begun.elapsed()))
}

async fn close(
    entry: &Entry,
    conversation: Option<RawConnection>,
    connector: &Connector,
) -> Result<u64, RawError> {
    let deadline = Instant::now() + CLOSE_PATIENCE;
    let mut conversation = conversation;
    loop {
        let closing = match conversation.take() {
            Some(mut conversation) => conversation.delete_account(&entry.creator).await,
            None => close_anew(entry, connector).await,
        };
        match closing {
            Ok(envelopes) => {
                entry.closed.store(true, Ordering::Relaxed);
                return Ok(envelopes);
            }
            // It was never founded, or an earlier try was heard after all.
            Err(trouble) if trouble.is_unknown() => {
                entry.closed.store(true, Ordering::Relaxed);
                return Ok(0);
            }
            Err(trouble) if !may_pass(&trouble) || Instant::now() > deadline => {
                return Err(trouble);
            }
            Err(_) => tokio::time::sleep(CLOSE_PAUSE).await,
        }
    }
}

async fn close_anew(entry: &Entry, connector: &Connector) -> Result<u64, RawError> {
    let mut conversation = connector.dial().await?;
    conversation.authenticate(&entry.creator).await?;
    conversation.delete_account(&entry.creator).await
}

/// A relay that is only busy.
fn may_pass(trouble: &RawError) -> bool {
    match trouble {
        RawError::HttpStatus { .. } | RawError::Broken(_) => true,
        RawError::Refused(refusal) => {
            refusal.retry_after_ms > 0 || refusal.code == Code::Overloaded
        }
    }
}
