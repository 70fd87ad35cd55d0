//! The accounts of a run: founded before it, closed after it, whatever happens between.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use graceful_protocol::Code;
use graceful_raw_client::{BareAccount, BareDevice, Conversation, Dialler, Trouble};

/// Connections that are begun or ended at a time: no more than a relay takes for a rush.
const AT_A_TIME: usize = 16;
/// For closing accounts, a relay that is busy is asked again for so long.
const CLOSE_PATIENCE: Duration = Duration::from_secs(90);
const CLOSE_PAUSE: Duration = Duration::from_secs(2);

/// The accounts, and the relay that they are at.
pub struct Accounts {
    dialler: Arc<Dialler>,
    entries: Vec<Arc<Entry>>,
}

/// One account, known to the relay from when it was tried to found it.
struct Entry {
    founder: BareDevice,
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
pub struct Seated {
    /// Which account it belongs to, counted from 0.
    pub account: usize,
    /// Which device of it, the founder first.
    pub device: usize,
    /// Its connection.
    pub conversation: Conversation,
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
    pub fn new(dialler: Dialler) -> Self {
        Self {
            dialler: Arc::new(dialler),
            entries: Vec::new(),
        }
    }

    /// Founds the accounts and connects all their devices. `seated` hears how many are. After the first
    /// trouble, or when told to stop, no more are begun; what is begun is brought to its end, for an account
    /// can be closed only when the relay has answered for it.
    ///
    /// # Errors
    /// The first trouble; what was founded so far stays to be closed.
    pub async fn found(
        &mut self,
        wanted: Wanted,
        invites: &[String],
        stop: &CancellationToken,
        seated: impl Fn(u64),
    ) -> Result<Vec<Seated>, Trouble> {
        let stop = stop.child_token();
        let permits = Arc::new(Semaphore::new(AT_A_TIME));
        let mut tasks = JoinSet::new();
        for number in 0..wanted.accounts {
            let account = BareAccount::new();
            let entry = Entry {
                founder: account.devices()[0].clone(),
                tried: AtomicBool::new(false),
                closed: AtomicBool::new(false),
            };
            let entry = Arc::new(entry);
            self.entries.push(entry.clone());
            let invite = invites.get(number).cloned().unwrap_or_default();
            let (dialler, permits, stop) = (self.dialler.clone(), permits.clone(), stop.clone());
            tasks.spawn(async move {
                let _permit = permits.acquire_owned().await;
                if stop.is_cancelled() {
                    return Ok(Vec::new());
                }
                household(number, wanted.devices, account, &dialler, &entry, &invite).await
            });
        }
        let (mut all, mut trouble) = (Vec::new(), None);
        while let Some(done) = tasks.join_next().await {
            match done.unwrap_or_else(|error| Err(Trouble::Broken(error.to_string()))) {
                Ok(seats) => all.extend(seats),
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
        all.sort_by_key(|seat| (seat.device, seat.account));
        Ok(all)
    }

    /// Closes every account that the relay may know, over these connections of their founders where they
    /// still serve.
    pub async fn close(&self, mut founders: Vec<(usize, Conversation)>) -> Closed {
        let permits = Arc::new(Semaphore::new(AT_A_TIME));
        let mut tasks = JoinSet::new();
        for (number, entry) in self.entries.iter().enumerate() {
            if !entry.tried.load(Ordering::Relaxed) || entry.closed.load(Ordering::Relaxed) {
                continue;
            }
            let at = founders.iter().position(|(account, _)| *account == number);
            let conversation = at.map(|at| founders.swap_remove(at).1);
            let (dialler, permits, entry) = (self.dialler.clone(), permits.clone(), entry.clone());
            tasks.spawn(async move {
                let _permit = permits.acquire_owned().await;
                close(&entry, conversation, &dialler).await
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
    mut account: BareAccount,
    dialler: &Dialler,
    entry: &Entry,
    invite: &str,
) -> Result<Vec<Seated>, Trouble> {
    let (mut founder, connecting) = dial(dialler).await?;
    entry.tried.store(true, Ordering::Relaxed);
    founder.found(&account, invite).await?;
    for _ in 1..devices {
        let added = account.add();
        founder
            .append(added, account.devices().len() as u64)
            .await?;
    }
    let mut seats = vec![Seated {
        account: number,
        device: 0,
        conversation: founder,
        connecting,
    }];
    for (device, keys) in account.devices().iter().enumerate().skip(1) {
        let (mut conversation, connecting) = dial(dialler).await?;
        conversation.authenticate(keys).await?;
        seats.push(Seated {
            account: number,
            device,
            conversation,
            connecting,
        });
    }
    Ok(seats)
}

async fn dial(dialler: &Dialler) -> Result<(Conversation, Duration), Trouble> {
    let begun = Instant::now();
    let conversation = dialler.dial().await?;
    Ok((conversation, begun.elapsed()))
}

async fn close(
    entry: &Entry,
    conversation: Option<Conversation>,
    dialler: &Dialler,
) -> Result<u64, Trouble> {
    let deadline = Instant::now() + CLOSE_PATIENCE;
    let mut conversation = conversation;
    loop {
        let closing = match conversation.take() {
            Some(mut conversation) => conversation.close_account(&entry.founder).await,
            None => close_anew(entry, dialler).await,
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

async fn close_anew(entry: &Entry, dialler: &Dialler) -> Result<u64, Trouble> {
    let mut conversation = dialler.dial().await?;
    conversation.authenticate(&entry.founder).await?;
    conversation.close_account(&entry.founder).await
}

/// A relay that is only busy.
fn may_pass(trouble: &Trouble) -> bool {
    match trouble {
        Trouble::TurnedAway { .. } | Trouble::Broken(_) => true,
        Trouble::Refused(refusal) => refusal.retry_after_ms > 0 || refusal.code == Code::Overloaded,
    }
}
