//! What happens: the one writer, wake-ups, sessions, the janitor. Tasks and channels; no sockets,
//! and no decisions, which are all in the rules.

mod clock;
mod connection_limit;
mod engine;
mod exchange;
mod latency;
mod maintenance;
mod notify;
mod operator;
mod pending_ops;
mod rate_limits;
mod rendezvous;
mod session_driver;
mod stats;
mod transport;
mod writer;

use parking_lot::{Mutex, MutexGuard};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::BASE32_NOPAD;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::observe::canary::CanaryStatus;
use crate::observe::{Metrics, Readiness};
use graceful_rules::audit::{ScanPage, ScanRange};
use graceful_rules::command::{Command, InviteHash, Outcome, invite_hash};
use graceful_rules::session::SessionConfig;
use graceful_store::{Engine as _, Options, Store, StoreError};

pub use engine::Backend;
pub use graceful_rules::admission::Address;
pub use graceful_rules::membership::Registration;
pub use graceful_rules::session::ServerNames;
pub use rate_limits::RateLimits;
pub use stats::StatsSnapshot;
pub use transport::{Transport, TransportError};

use clock::RelayClock;
use connection_limit::ConnectionLimiter;
use engine::Engine;
use exchange::NonceKey;
use notify::Subscriptions;
use rate_limits::RateLimiter;
use rendezvous::Rendezvous;
use writer::Writer;

/// Bytes of envelopes in the answer to one exchange. One always goes.
const EXCHANGE_WINDOW_BYTES: u64 = 512 * 1024;

/// What a relay needs to know beside what its store does.
#[derive(Debug, Clone)]
pub struct RelayOptions {
    /// The names it goes by.
    pub server_names: ServerNames,
    /// How long a device may take to say who it is.
    pub auth_timeout: Duration,
    /// What one account and one address may take.
    pub rate_limits: RateLimits,
}

impl Default for RelayOptions {
    fn default() -> Self {
        Self {
            server_names: ServerNames::default(),
            auth_timeout: Duration::from_secs(10),
            rate_limits: RateLimits::default(),
        }
    }
}

/// What a relay is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Status {
    /// Conversations open now.
    pub connections: u64,
    /// Accounts that exist.
    pub accounts: u64,
    /// Envelopes kept.
    pub envelopes: u64,
}

/// A running relay. Clones are handles to the same one.
#[derive(Clone)]
pub struct Relay {
    inner: Arc<Inner>,
}

struct Inner {
    store: Engine,
    session_config: Arc<SessionConfig>,
    /// The same, with less ahead of acks: all of an answer is in memory at once.
    exchange_config: Arc<SessionConfig>,
    clock: RelayClock,
    writer: Writer,
    subscriptions: Arc<Subscriptions>,
    rendezvous: Rendezvous,
    connection_limiter: Arc<ConnectionLimiter>,
    rate_limiter: RateLimiter,
    nonce_key: NonceKey,
    readiness: Readiness,
    connections: AtomicU64,
    next_session_id: AtomicU64,
    metrics: Arc<Metrics>,
    canary: CanaryStatus,
    /// The invitation of the trial under way.
    canary_invite: Mutex<Option<InviteHash>>,
    stats: tokio::sync::Mutex<Option<(std::time::Instant, StatsSnapshot)>>,
    stopping: CancellationToken,
    janitor: Mutex<Option<JoinHandle<()>>>,
}

impl Relay {
    /// Starts the writer and the janitor. Must be called within a tokio runtime.
    pub fn start(store: impl Into<Backend>, options: RelayOptions) -> Self {
        let failed = CancellationToken::new();
        let store = Engine::start(store.into(), {
            let failed = failed.clone();
            move || failed.cancel()
        });
        let identity = store.identity();
        let session_config = SessionConfig {
            relay_id: identity.relay_id,
            epoch: identity.epoch,
            limits: store.policy().limits.clone(),
            registration: store.policy().registration,
            server_names: options.server_names,
            auth_timeout_ms: clock::milliseconds(options.auth_timeout),
        };
        let mut exchange_config = session_config.clone();
        let window_bytes = &mut exchange_config.limits.window_bytes;
        *window_bytes = (*window_bytes).min(EXCHANGE_WINDOW_BYTES);
        let clock = RelayClock::starting_at(store.clock_at_open());
        let subscriptions = Arc::new(Subscriptions::default());
        let metrics = Arc::new(Metrics::default());
        let readiness = Readiness::default();
        let relay = Self {
            inner: Arc::new(Inner {
                writer: Writer::start(
                    store.clone(),
                    clock,
                    subscriptions.clone(),
                    metrics.clone(),
                    failed,
                ),
                store,
                session_config: Arc::new(session_config),
                exchange_config: Arc::new(exchange_config),
                clock,
                subscriptions,
                rendezvous: Rendezvous::new(&options.rate_limits),
                connection_limiter: ConnectionLimiter::new(
                    options.rate_limits.account_connections_max,
                ),
                rate_limiter: RateLimiter::new(&options.rate_limits),
                nonce_key: NonceKey::fresh(),
                canary: CanaryStatus::new(metrics.clone(), readiness.clone()),
                readiness,
                connections: AtomicU64::new(0),
                next_session_id: AtomicU64::new(0),
                metrics,
                canary_invite: Mutex::default(),
                stats: tokio::sync::Mutex::default(),
                stopping: CancellationToken::new(),
                janitor: Mutex::new(None),
            }),
        };
        let janitor = tokio::spawn(maintenance::run(
            relay.clone(),
            relay.inner.stopping.clone(),
        ));
        *relay.inner.janitor.lock() = Some(janitor);
        relay
    }

    /// A new invitation: good for genesis one account, within `lifetime` of the relay's running time.
    ///
    /// # Errors
    /// [`Stopped`] when the relay takes no more changes.
    pub async fn invite(&self, lifetime: Duration) -> Result<String, Stopped> {
        let (invitation, change) = new_invitation(lifetime, self.inner.clock.now());
        self.commit(change).await?;
        Ok(invitation)
    }

    /// An invitation for a trial of itself: limits on new accounts do not hold for who shows it. `None`
    /// where nobody may found an account, not even the relay.
    ///
    /// # Errors
    /// [`Stopped`] when the relay takes no more changes.
    pub async fn invite_for_canary(&self, lifetime: Duration) -> Result<Option<String>, Stopped> {
        let registration = self.inner.store.policy().registration;
        if registration == Registration::Closed {
            return Ok(None);
        }
        let (invitation, change) = new_invitation(lifetime, self.inner.clock.now());
        // Where everybody may, the store has no need to know it.
        if registration == Registration::Invite {
            self.commit(change).await?;
        }
        *self.canary_invite() = Some(invite_hash(&invitation));
        Ok(Some(invitation))
    }

    fn canary_invite(&self) -> MutexGuard<'_, Option<InviteHash>> {
        self.inner.canary_invite.lock()
    }

    /// What it is doing.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn status(&self) -> Result<Status, StoreError> {
        let totals = self.inner.store.totals()?;
        Ok(Status {
            connections: self.inner.connections.load(Ordering::Relaxed),
            accounts: totals.accounts,
            envelopes: totals.envelopes,
        })
    }

    /// Looks at a part of what is kept, on a thread of its own.
    ///
    /// # Errors
    /// [`StoreError`], but not for what is found.
    pub async fn inspect(&self, range: ScanRange) -> Result<ScanPage, StoreError> {
        operator::read(self.inner.store.audit(range).await)
    }

    /// Resolves when the store has failed: nobody knows what is on the disk, and the process must
    /// end and be started again.
    pub async fn failed(&self) {
        self.inner.writer.failed().await;
    }

    /// Commits what is in hand and ends the writer. Conversations should have been cancelled before.
    pub async fn stop(self) {
        self.inner.stopping.cancel();
        // The janitor holds the store, too: when this returns, nobody here does but other handles.
        let janitor = self.inner.janitor.lock().take();
        if let Some(janitor) = janitor {
            let _ = janitor.await;
        }
        // So that a relay that is switched off every evening ages its envelopes all the same.
        if self.commit(Command::SaveClock).await.is_ok() {
            self.inner.writer.stop().await;
            // Here and not when the last handle goes, which a process that ends may never come to.
            let _ = self.inner.writer.check_read(self.inner.store.close().await);
        }
    }

    /// Has one change made.
    async fn commit(&self, change: Command) -> Result<Outcome, Stopped> {
        self.inner
            .writer
            .commit(change)
            .await?
            .await
            .map_err(|_| Stopped)
    }

    /// What is counted while it works.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.inner.metrics
    }

    /// What trials of its own have shown.
    pub fn canary(&self) -> &CanaryStatus {
        &self.inner.canary
    }

    /// Conversations open now.
    pub fn connections(&self) -> u64 {
        self.inner.connections.load(Ordering::Relaxed)
    }

    /// What devices are told of it, and held to.
    pub fn session_config(&self) -> &SessionConfig {
        &self.inner.session_config
    }
}

/// The relay takes no more changes: it is stopping, or its store has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the relay is stopping")]
pub struct Stopped;

/// Makes an invitation in a folder on which no relay is running.
///
/// # Errors
/// [`StoreError`]
pub fn invite_offline(folder: &Path, lifetime: Duration) -> Result<String, StoreError> {
    let store = Store::open(folder, Options::default())?;
    let now = store.clock_at_open();
    let (invitation, change) = new_invitation(lifetime, now);
    let committed = store.commit(&[change], now)?;
    assert_eq!(
        committed.outcomes,
        [Outcome::InviteCreated],
        "an invitation is never refused"
    );
    Ok(invitation)
}

fn new_invitation(lifetime: Duration, now: graceful_rules::RelayTime) -> (String, Command) {
    let invitation = BASE32_NOPAD.encode(&random::<15>()).to_ascii_lowercase();
    let change = Command::CreateInvite {
        hash: invite_hash(&invitation),
        expires: now.plus(lifetime),
    };
    (invitation, change)
}

/// # Panics
/// If the system has no randomness to give, which nothing can do without.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system gives randomness");
    bytes
}

/// The wall clock, for the greeting only.
fn wall_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, clock::milliseconds)
}
