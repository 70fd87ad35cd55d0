//! The relay: the writer, sessions, notifications and maintenance. Tasks and channels only; every
//! decision is in `graceful-rules`.

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

use crate::observe::canary_status::CanaryStatus;
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

/// Bytes of envelopes in the response to one exchange. At least one envelope is sent.
const EXCHANGE_WINDOW_BYTES: u64 = 512 * 1024;

/// Options of a relay beside those of its store.
#[derive(Debug, Clone)]
pub struct RelayOptions {
    /// The names that devices dial.
    pub server_names: ServerNames,
    /// The time within which a device must authenticate.
    pub auth_timeout: Duration,
    /// Limits per account and per address.
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

/// The number of sessions, accounts and envelopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Status {
    /// Open sessions.
    pub connections: u64,
    /// Accounts.
    pub accounts: u64,
    /// Stored envelopes.
    pub envelopes: u64,
}

/// A running relay. Clones share it.
#[derive(Clone)]
pub struct Relay {
    inner: Arc<Inner>,
}

struct Inner {
    store: Engine,
    session_config: Arc<SessionConfig>,
    /// The same with a smaller delivery window, because a response is in memory at once.
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
    /// The invitation of the canary run in progress.
    canary_invite: Mutex<Option<InviteHash>>,
    stats: tokio::sync::Mutex<Option<(std::time::Instant, StatsSnapshot)>>,
    stopping: CancellationToken,
    janitor: Mutex<Option<JoinHandle<()>>>,
}

impl Relay {
    /// Starts the writer and maintenance. Requires a tokio runtime.
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

    /// Creates an invitation for one account, valid for `lifetime` of relay time.
    ///
    /// # Errors
    /// [`Stopped`] if the relay accepts no more commands.
    pub async fn invite(&self, lifetime: Duration) -> Result<String, Stopped> {
        let (invitation, change) = new_invitation(lifetime, self.inner.clock.now());
        self.commit(change).await?;
        Ok(invitation)
    }

    /// Creates an invitation for a canary run, which is exempt from limits on new accounts. `None`
    /// if registration is closed.
    ///
    /// # Errors
    /// [`Stopped`] if the relay accepts no more commands.
    pub async fn invite_for_canary(&self, lifetime: Duration) -> Result<Option<String>, Stopped> {
        let registration = self.inner.store.policy().registration;
        if registration == Registration::Closed {
            return Ok(None);
        }
        let (invitation, change) = new_invitation(lifetime, self.inner.clock.now());
        // With open registration the store does not check invitations.
        if registration == Registration::Invite {
            self.commit(change).await?;
        }
        *self.canary_invite() = Some(invite_hash(&invitation));
        Ok(Some(invitation))
    }

    fn canary_invite(&self) -> MutexGuard<'_, Option<InviteHash>> {
        self.inner.canary_invite.lock()
    }

    /// Returns the status.
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

    /// Scans a part of the store on a blocking thread.
    ///
    /// # Errors
    /// [`StoreError`], but not for what the scan finds.
    pub async fn inspect(&self, range: ScanRange) -> Result<ScanPage, StoreError> {
        operator::read(self.inner.store.audit(range).await)
    }

    /// Resolves when the store has failed. The process must exit and start again.
    pub async fn failed(&self) {
        self.inner.writer.failed().await;
    }

    /// Commits queued commands and stops the writer. Sessions should have been cancelled before.
    pub async fn stop(self) {
        self.inner.stopping.cancel();
        // Maintenance holds the store too.
        let janitor = self.inner.janitor.lock().take();
        if let Some(janitor) = janitor {
            let _ = janitor.await;
        }
        // A relay that is switched off every evening must age its envelopes too.
        if self.commit(Command::SaveClock).await.is_ok() {
            self.inner.writer.stop().await;
            // Explicitly, since a process may exit before the last handle drops.
            let _ = self.inner.writer.check_read(self.inner.store.close().await);
        }
    }

    /// Commits one command.
    async fn commit(&self, change: Command) -> Result<Outcome, Stopped> {
        self.inner
            .writer
            .commit(change)
            .await?
            .await
            .map_err(|_| Stopped)
    }

    /// Returns the metrics.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.inner.metrics
    }

    /// Returns the results of the canary.
    pub fn canary(&self) -> &CanaryStatus {
        &self.inner.canary
    }

    /// Returns the number of open sessions.
    pub fn connections(&self) -> u64 {
        self.inner.connections.load(Ordering::Relaxed)
    }

    /// Returns what the relay announces to devices and enforces.
    pub fn session_config(&self) -> &SessionConfig {
        &self.inner.session_config
    }
}

/// The relay accepts no more commands: it is stopping, or its store has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the relay is stopping")]
pub struct Stopped;

/// Creates an invitation in a data directory that no relay uses.
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
/// If the system provides no randomness.
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
