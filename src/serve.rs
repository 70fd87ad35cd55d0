//! `graceful-relay serve`: from settings to a running relay, and to its orderly end.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::bind::bind;
use super::config_args::ConfigArgs;
use super::reloader::Reloader;
use crate::cli::INTERRUPTED;
use crate::{banner, logging, service_notify};
use graceful_server::config::{Config, Log, TlsMode};
use graceful_server::http::tls::Tls;
use graceful_server::http::{Listener, ReloadHandle, StatusPage};
use graceful_server::relay::{Relay, ServerNames};
use graceful_server::{admin, http};
use graceful_store::Store;

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Listen on this address and port, like 127.0.0.1:8080
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Say where it listens in one line of JSON on the standard output, for programs
    #[arg(long)]
    json: bool,
    #[cfg(unix)]
    #[command(flatten)]
    daemon: super::daemon::Daemon,
    /// Run as a service of Windows: for its service manager alone
    #[cfg(windows)]
    #[arg(long, hide = true)]
    windows_service: bool,
    #[command(flatten)]
    config_args: ConfigArgs,
}

impl Serve {
    /// If it is to.
    #[cfg(unix)]
    pub(super) fn leave_terminal(&self) -> anyhow::Result<()> {
        match self.daemon.is_wanted() {
            true => self
                .daemon
                .leave_terminal(&self.config_args.load(self.listen.clone())?),
            false => Ok(()),
        }
    }

    #[cfg(windows)]
    pub(super) const fn is_service(&self) -> bool {
        self.windows_service
    }

    /// Where it keeps everything.
    #[cfg(windows)]
    pub(super) fn folder(&self) -> anyhow::Result<std::path::PathBuf> {
        Ok(self.config_args.load(self.listen.clone())?.folder)
    }

    /// Where it says what it does.
    fn log(&self, config: &Config) -> Log {
        #[cfg(windows)]
        if self.windows_service {
            return super::windows_service::with_files(config.log.clone());
        }
        config.log.clone()
    }

    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = self.config_args.load(self.listen.clone())?;
        let log_level = logging::start(&self.log(&config))?;
        let starting = service_notify::StartupNotifier::begin();
        // The port first: while it is taken, another relay may be using the data.
        let tcp = public_listener(&config).await?;
        let address = tcp.local_addr()?;
        let plain = plain_listener(&config).await?;
        let operators = metrics_listener(&config).await?;
        let metrics = operators
            .as_ref()
            .and_then(|listener| listener.local_addr().ok());
        let (relay, tls) = start(&config, address).await?;
        drop(starting);
        let shutdown = CancellationToken::new();
        let operator = admin::Socket::bind(&config.folder).await?;
        let recorder =
            admin::Recorder::begin(&config.folder, config.sla_terms.clone(), relay.clone());
        let noting = CancellationToken::new();
        let keeping = tokio::spawn(recorder.clone().keep(noting.clone()));
        let live = ReloadHandle::new(config.reloadable.clone());
        let reloader = Reloader::new(
            self.config_args,
            self.listen,
            live.clone(),
            log_level,
            config.clone(),
        );
        let service = admin::AdminService::new(relay.clone(), tls.clone())
            .about(
                banner::about(&config, address, tls.as_ref()),
                recorder.clone(),
            )
            .with_reloader(Arc::new(move || reloader.again()));
        let operator = tokio::spawn(admin::serve(operator, service.clone(), shutdown.clone()));
        tokio::spawn(stop_on_signal(shutdown.clone())?);
        reload_on_sighup(service, shutdown.clone())?;
        if let Some(warning) = config.warning() {
            tracing::warn!("{warning}");
        }
        if let Some(interval) = config.canary_interval {
            let target = admin::CanaryTarget::new(address, tls.clone(), &config.admission);
            tokio::spawn(
                admin::CanaryRunner::new(relay.clone(), target).run(interval, shutdown.clone()),
            );
        }
        if self.json {
            println!("{}", banner::json(&config, address, tls.as_ref(), metrics));
        } else {
            eprint!("{}", banner::text(&config, address, tls.as_ref()));
        }
        let url = banner::about(&config, address, tls.as_ref()).url;
        tokio::spawn(service_notify::report(url, relay.clone(), shutdown.clone()));
        let page = StatusPage::default();
        let paging = config.status_page.clone().map(|name| {
            let (recorder, relay) = (recorder.clone(), relay.clone());
            tokio::spawn(admin::page::refresh(
                page.clone(),
                name,
                recorder,
                relay,
                noting.clone(),
            ))
        });
        let mut listener = match tls {
            Some(tls) => Listener::with_tls(tcp, tls, plain),
            None => tcp.into(),
        };
        listener = listener.with_reloadable(live).with_page(page);
        if let Some(operators) = operators {
            listener = listener.with_metrics(operators);
        }
        let service = http::run(listener, relay, config.http_options(), shutdown.clone()).await;
        shutdown.cancel();
        operator.await.context("the admin socket ended badly")?;
        noting.cancel();
        keeping.await.context("the record of uptime ended badly")?;
        if let Some(paging) = paging {
            paging.await.context("the status page ended badly")?;
        }
        recorder.end(service.is_ok()).await;
        service?;
        tracing::info!("stopped");
        Ok(())
    }
}

async fn public_listener(config: &Config) -> anyhow::Result<TcpListener> {
    let Some(given) = service_notify::listener()? else {
        return bind(config.listen, "--listen or `server.listen`").await;
    };
    let address = given.local_addr()?;
    if config.tls_mode == TlsMode::Off && !address.ip().is_loopback() {
        bail!(
            "the service manager opened {address}, which others can reach, and `tls.mode` is \"off\"; choose \
             another mode, or have it open 127.0.0.1"
        );
    }
    Ok(given)
}

async fn plain_listener(config: &Config) -> anyhow::Result<Option<TcpListener>> {
    match config.http_listen {
        Some(plain) => bind(plain, "`tls.http_listen`").await.map(Some),
        None => Ok(None),
    }
}

/// A port that nobody chose may be taken, by another relay on this machine: no reason not to start.
async fn metrics_listener(config: &Config) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = config.metrics.address else {
        return Ok(None);
    };
    match bind(address, "`metrics.listen`").await {
        Err(error) if !config.metrics.chosen => {
            tracing::warn!("there are no metrics: {error}");
            Ok(None)
        }
        bound => bound.map(Some),
    }
}

/// Opening the store reads the disk, perhaps for seconds: not on a thread that others wait for.
async fn start(config: &Config, address: SocketAddr) -> anyhow::Result<(Relay, Option<Tls>)> {
    let (folder, options) = (config.folder.clone(), config.store_options());
    let (setup, names) = (config.tls.clone(), config.names.clone());
    let opened = tokio::task::spawn_blocking(move || {
        let store = Store::open(&folder, options)?;
        let tls = setup
            .map(|setup| Tls::prepare(setup, names, &folder))
            .transpose()?;
        anyhow::Ok((store, tls))
    });
    let (store, tls) = opened.await.context("opening the store ended badly")??;
    let mut options = config.relay_options();
    if let Some(tls) = &tls {
        options.server_names = ServerNames::new(hosts(tls.names(), address));
    }
    Ok((Relay::start(store, options), tls))
}

/// Where nobody said what devices dial, the address that it listens on is one of the names.
fn hosts(mut names: Vec<String>, address: SocketAddr) -> Vec<String> {
    if !address.ip().is_unspecified() {
        names.push(address.ip().to_string());
    }
    names
}

/// Has settings and certificate read again whenever the service manager asks for it.
#[cfg(unix)]
fn reload_on_sighup(
    service: admin::AdminService,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    // Without TLS too: unhandled, the signal would end the process.
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        // It ends with the relay: as long as anybody has a hold of the store, that is not closed.
        while let Some(Some(())) = shutdown.run_until_cancelled(hangup.recv()).await {
            let service = service.clone();
            match tokio::task::spawn_blocking(move || service.reload()).await {
                Ok(Ok(text)) => tracing::info!("{text}"),
                Ok(Err(text)) => tracing::error!("{text}"),
                Err(_) => tracing::error!("reading the settings again ended badly"),
            }
        }
    });
    Ok(())
}

#[cfg(not(unix))]
fn reload_on_sighup(
    _served: admin::AdminService,
    _shutdown: CancellationToken,
) -> anyhow::Result<()> {
    Ok(())
}

/// Waits for the service manager or for Ctrl-C. Handlers are in place when this returns.
#[cfg(unix)]
fn stop_on_signal(shutdown: CancellationToken) -> anyhow::Result<impl Future<Output = ()>> {
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
fn stop_on_signal(shutdown: CancellationToken) -> anyhow::Result<impl Future<Output = ()>> {
    Ok(async move {
        for step in [Step::Drain, Step::Leave] {
            tokio::select! {
                pressed = tokio::signal::ctrl_c() => {
                    // Without a way to be told, only the end of the process stops it.
                    if pressed.is_err() {
                        return;
                    }
                }
                () = stopped_by_service_manager(&shutdown) => {}
            }
            step.take(&shutdown);
        }
    })
}

/// The manager says it once.
#[cfg(windows)]
async fn stopped_by_service_manager(shutdown: &CancellationToken) {
    if shutdown.is_cancelled() {
        std::future::pending().await
    }
    super::windows_service::stop_requested().await;
}

#[cfg(not(any(unix, windows)))]
async fn stopped_by_service_manager(_shutdown: &CancellationToken) {
    std::future::pending().await
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
