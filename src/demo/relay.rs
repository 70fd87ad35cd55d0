//! The demo's relay: the real server on a free port.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use graceful_protocol::Limits;
use graceful_server::http::{self, Admission, Options, Stopped};
use graceful_server::relay::{Registration, Relay, RelayOptions};
use graceful_store::{self, Store};

/// Longest wait for anything local.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Frame buffer for a few devices.
const FRAMES_BYTES: u64 = 16 << 20;
/// Lifetime of the invitation.
const INVITE_LIFETIME: Duration = Duration::from_secs(600);

/// A running relay.
pub(super) struct DemoRelay {
    /// The address for devices.
    pub(super) url: String,
    relay: Relay,
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), Stopped>>,
}

impl DemoRelay {
    /// Opens a store in an empty directory and starts the server.
    pub(super) async fn open(dir: &Path) -> anyhow::Result<Self> {
        let options = graceful_store::Options {
            registration: Registration::Invite,
            ..graceful_store::Options::default()
        };
        let frame_bytes_max = usize::try_from(Limits::default().frame_bytes_max)?;
        let relay = Relay::start(Store::open(dir, options)?, RelayOptions::default());
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("no free port on this machine")?;
        let url = format!("ws://{}", listener.local_addr()?);
        let shutdown = CancellationToken::new();
        let options = Options {
            connections_max: 16,
            frame_bytes_max,
            frames_bytes: FRAMES_BYTES,
            handshake_timeout: TIMEOUT,
            head_timeout: TIMEOUT,
            body_timeout: TIMEOUT,
            write_timeout: TIMEOUT,
            close_timeout: TIMEOUT,
            stop_timeout: TIMEOUT,
            admission: Admission::default(),
        };
        let running = tokio::spawn(http::run(
            listener,
            relay.clone(),
            options,
            shutdown.clone(),
        ));
        Ok(Self {
            url,
            relay,
            shutdown,
            running,
        })
    }

    /// Creates an invitation for one account.
    pub(super) async fn invite(&self) -> anyhow::Result<String> {
        Ok(self.relay.invite(INVITE_LIFETIME).await?)
    }

    /// Returns the number of stored envelopes.
    pub(super) fn envelopes(&self) -> anyhow::Result<u64> {
        Ok(self.relay.status()?.envelopes)
    }

    /// Waits until no envelope is stored.
    pub(super) async fn is_empty(&self) -> anyhow::Result<()> {
        let empty = async {
            while self.envelopes()? > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            anyhow::Ok(())
        };
        let emptied = tokio::time::timeout(TIMEOUT, empty).await;
        emptied.with_context(|| {
            format!(
                "the relay still stores {} acknowledged envelopes",
                self.envelopes().unwrap_or(0)
            )
        })?
    }

    /// Ends all sessions and closes the store.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        drop(self.relay);
        self.running.await.context("relay task panicked")??;
        Ok(())
    }
}
