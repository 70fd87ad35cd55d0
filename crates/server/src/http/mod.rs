//! What listens: sockets, HTTP and WebSocket, up to the point where a frame is just bytes.
//!
//! warp, hyper and the server side of tungstenite are known here only. This room never reads a
//! frame, and never writes a peer's address, an account or a key into a log.

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
pub use crate::net::proxy_header::ProxyHeader;
pub use accept::run;
pub use bearer_token::{BearerToken, BearerTokenError};
pub use cors::AllowedOrigins;
pub use listener::Listener;
pub use reloadable::{ReloadHandle, ReloadableOptions};
pub use status_page::StatusPage;

/// How far the door opens, and for how long it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Conversations at a time. One more is answered 503.
    pub connections_max: usize,
    /// Bytes of one message, and of the body of an exchange.
    pub frame_bytes_max: usize,
    /// Bytes of memory for large messages on their way, of all conversations together.
    pub frames_bytes: u64,
    /// For a TLS handshake to be done, where the relay speaks TLS itself.
    pub handshake_timeout: Duration,
    /// For a request's head to arrive, and for the next one on an idle HTTP connection.
    pub head_timeout: Duration,
    /// For the body of an exchange to arrive.
    pub body_timeout: Duration,
    /// How long a peer may take nothing of what is sent to it.
    pub write_timeout: Duration,
    /// For a peer to answer the relay's close frame.
    pub close_timeout: Duration,
    /// For conversations to end when the relay stops; then they are cut.
    pub stop_timeout: Duration,
    /// Who is let in.
    pub admission: Admission,
}

/// Why the relay no longer listens, although nobody asked it to stop.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// Nobody knows what is on the disk, so nothing may be answered until the store is opened anew.
    #[error("the store failed; the relay has to start again")]
    StoreFailed,
}

/// Exchanges at a time: each may hold a whole frame in memory.
const EXCHANGES_MAX: usize = 32;

/// What every connection shares.
struct ServerState {
    relay: Relay,
    options: Options,
    reloadable: ReloadHandle,
    page: StatusPage,
    tls: Option<Tls>,
    /// What is counted here: that of the relay, but not at the operators' door.
    metrics: Arc<Metrics>,
    admission: Arc<AdmissionControl>,
    /// Those who are turned away and told so.
    rejections: Arc<Semaphore>,
    session_slots: Arc<Semaphore>,
    budget: MemoryBudget,
    exchanges: Semaphore,
    /// Conversations; and everything else.
    sessions: TaskTracker,
    tasks: TaskTracker,
    /// Nobody new is let in, and conversations are ended one after the other.
    draining: CancellationToken,
    /// What is not a conversation is to end, too.
    closing: CancellationToken,
    /// What has not ended by now is dropped.
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

    /// Runs a task that the relay waits for when it stops, until it must not wait any longer.
    fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(abortable(self.cut.child_token(), task));
    }

    /// The same for a conversation: these are ended first, while others are still answered.
    fn spawn_session(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        self.sessions.spawn(abortable(self.cut.child_token(), task));
    }
}

/// Runs a task until it is cut. Not an `async fn`, which would have room for the task twice. And the token
/// is to be the task's own: it is looked at whenever the task runs, and one for all would have them wait
/// for its lock.
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
