//! `graceful-relay serve`: from settings to a running relay, and to its orderly end.

use std::io::ErrorKind;
use std::net::SocketAddr;

use anyhow::{Context, anyhow};
use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::settings::Settings;
use super::{INTERRUPTED, logging, welcome};
use crate::config::Config;
use crate::relay::Relay;
use crate::store::Store;
use crate::{admin, http};

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Listen on this address and port, like 127.0.0.1:8080
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Say where it listens in one line of JSON on the standard output, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

impl Serve {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = self.settings.load(self.listen)?;
        logging::start(config.log_level);
        // The port first: while it is taken, another relay may be using the data.
        let listener = bind(config.listen).await?;
        let address = listener.local_addr()?;
        let relay = start(&config).await?;
        let shutdown = CancellationToken::new();
        let operator = admin::Socket::bind(&config.folder).await?;
        let operator = tokio::spawn(admin::serve(operator, relay.clone(), shutdown.clone()));
        tokio::spawn(stop_when_told(shutdown.clone())?);
        if let Some(warning) = config.warning() {
            tracing::warn!("{warning}");
        }
        if self.json {
            println!("{}", welcome::json(&config, address));
        } else {
            eprint!("{}", welcome::text(&config, address));
        }
        let served = http::run(listener, relay, config.http_options(), shutdown.clone()).await;
        shutdown.cancel();
        operator.await.context("the admin socket ended badly")?;
        served?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Opening the store reads the disk, perhaps for seconds: not on a thread that others wait for.
async fn start(config: &Config) -> anyhow::Result<Relay> {
    let folder = config.folder.clone();
    let options = config.store_options();
    let opened = tokio::task::spawn_blocking(move || Store::open(&folder, options));
    let store = opened.await.context("opening the store ended badly")??;
    Ok(Relay::start(store, config.relay_options()))
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow!(
            "port {} on {} is taken by another program (perhaps a relay that runs already); \
             stop that one, or choose another port with --listen or `server.listen`",
            address.port(),
            address.ip()
        ),
        ErrorKind::PermissionDenied => anyhow!(
            "this user may not listen on {address}; choose a port above 1023 with --listen or `server.listen`"
        ),
        ErrorKind::AddrNotAvailable => {
            anyhow!("{} is not an address of this machine; change --listen or `server.listen`", address.ip())
        }
        _ => anyhow!("cannot listen on {address}: {error}"),
    })
}

/// Waits for the service manager or for Ctrl-C. Handlers are in place when this returns.
#[cfg(unix)]
fn stop_when_told(shutdown: CancellationToken) -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        for step in [Step::Drain, Step::Leave] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            step.take(&shutdown);
        }
    })
}

#[cfg(not(unix))]
fn stop_when_told(shutdown: CancellationToken) -> anyhow::Result<impl Future<Output = ()>> {
    Ok(async move {
        for step in [Step::Drain, Step::Leave] {
            // Without a way to be told, only the end of the process stops it.
            if tokio::signal::ctrl_c().await.is_err() {
                return;
            }
            step.take(&shutdown);
        }
    })
}

/// What being told to stop means, the first time and the second.
enum Step {
    Drain,
    Leave,
}

impl Step {
    fn take(self, shutdown: &CancellationToken) {
        match self {
            Self::Drain => {
                tracing::info!("stopping; told again, it ends at once");
                shutdown.cancel();
            }
            Self::Leave => {
                // What was acknowledged is on disk; the rest, devices push again.
                tracing::warn!("told to stop a second time: ending at once");
                std::process::exit(INTERRUPTED.into());
            }
        }
    }
}
