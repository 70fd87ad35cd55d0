//! The HTTP server: routes, the WebSocket upgrade, exchanges, redirects and graceful shutdown.
//!
//! Only this module uses warp and hyper. It never reads a frame, and never logs an address, an
//! account or a key.

mod accept;
mod bearer_token;
mod connection;
mod cors;
mod drain;
mod exchange;
mod headers;
mod listener;
mod metrics;
mod metrics_listener;
mod ready;
mod redirect;
mod reject;
mod reloadable;
mod response;
mod routes;
mod status;
mod status_page;
mod upgrade;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::Semaphore;
use tokio_util::future::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::net::admission::AdmissionControl;
use crate::net::io::memory_budget::MemoryBudget;
use crate::net::tls::Tls;
use crate::observe::Metrics;
use crate::relay::Relay;

pub use crate::net::admission::Admission;
pub use crate::net::client_ip::{InvalidNetwork, parse_network};
pub use crate::net::origins::AllowedOrigins;
pub use crate::net::proxy_header::ProxyHeader;
pub use accept::run;
pub use bearer_token::{BearerToken, BearerTokenError};
pub use listener::Listener;
pub use reloadable::{ReloadHandle, ReloadableOptions};
pub use status_page::StatusPage;

/// Limits and timeouts of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Concurrent sessions. Another one gets 503.
    pub connections_max: usize,
    /// Bytes of one message, and of the body of an exchange.
    pub frame_bytes_max: usize,
    /// Memory for large messages in transit, of all connections.
    pub frames_bytes: u64,
    /// For a TLS handshake.
    pub handshake_timeout: Duration,
    /// For a request header, and for the next request on an idle connection.
    pub head_timeout: Duration,
    /// For the body of an exchange.
    pub body_timeout: Duration,
    /// How long a peer may accept no bytes.
    pub write_timeout: Duration,
    /// For the peer's response to a close frame.
    pub close_timeout: Duration,
    /// For sessions to end at shutdown; then they are aborted.
    pub stop_timeout: Duration,
    /// Admission control.
    pub admission: Admission,
}

/// The reason why the server stopped without a request to stop.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// The store failed and must be opened again.
    #[error("store failed; restart the relay")]
    StoreFailed,
}

/// Concurrent exchanges: each may hold a frame in memory.
const EXCHANGES_MAX: usize = 32;

/// The state that all connections share.
struct ServerState {
    relay: Relay,
    options: Options,
    reloadable: ReloadHandle,
    page: StatusPage,
    tls: Option<Tls>,
    /// The metrics of the relay; unused ones for the metrics listener.
    metrics: Arc<Metrics>,
    admission: Arc<AdmissionControl>,
    /// Permits for rejections that are being sent.
    rejections: Arc<Semaphore>,
    session_slots: Arc<Semaphore>,
    budget: MemoryBudget,
    exchanges: Semaphore,
    /// Sessions, and all other tasks.
    sessions: TaskTracker,
    tasks: TaskTracker,
    /// No connection is admitted, and sessions end in batches.
    draining: CancellationToken,
    /// Everything else ends too.
    closing: CancellationToken,
    /// What has not ended is aborted.
    cut: CancellationToken,
}

impl ServerState {
    fn new(
        relay: Relay,
        options: Options,
        (reloadable, page): (ReloadHandle, StatusPage),
        tls: Option<Tls>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            admission: AdmissionControl::new(options.admission.clone()),
            rejections: Arc::new(Semaphore::new(reject::REJECTIONS_MAX)),
            session_slots: Arc::new(Semaphore::new(options.connections_max)),
            budget: MemoryBudget::new(options.frames_bytes),
            exchanges: Semaphore::new(EXCHANGES_MAX),
            sessions: TaskTracker::new(),
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            closing: CancellationToken::new(),
            cut: CancellationToken::new(),
            relay,
            options,
            reloadable,
            page,
            tls,
            metrics,
        })
    }

    /// Spawns a task that shutdown waits for.
    fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(abortable(self.cut.child_token(), task));
    }

    /// The same for a session: these end first, while requests are still served.
    fn spawn_session(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        self.sessions.spawn(abortable(self.cut.child_token(), task));
    }
}

/// Runs a task until it is aborted. Not an `async fn`, which would store the task twice. The token
/// belongs to the task: it is polled whenever the task runs, and a shared one would contend for its
/// lock.
fn abortable<F: Future<Output = ()>>(cut: CancellationToken, task: F) -> impl Future<Output = ()> {
    task.with_cancellation_token_owned(cut).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_is_cut_and_is_no_larger_for_it() {
        let large = async {
            let kept = [7_u8; 2_000];
            std::future::pending::<()>().await;
            std::hint::black_box(&kept);
        };
        let bytes = size_of_val(&large);
        let cut = CancellationToken::new();
        let task = abortable(cut.child_token(), large);
        assert!(
            size_of_val(&task) < bytes + 200,
            "{} of {bytes}",
            size_of_val(&task)
        );
        cut.cancel();
        task.await;
    }
}
