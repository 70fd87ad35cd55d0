//! `graceful-relay serve`: starts the relay, serves, and shuts it down.

mod banner;
mod bind;
#[cfg(unix)]
mod daemon;
mod logging;
mod reloader;
mod service_notify;
#[cfg(windows)]
pub(crate) mod windows_service;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::bind::bind;
use self::reloader::Reloader;
use crate::config_args::ConfigArgs;
use crate::signals::INTERRUPTED_EXIT_CODE;
use graceful_server::config::{Config, Log, TlsMode};
use graceful_server::http::{Listener, ReloadHandle, StatusPage};
use graceful_server::net::tls::Tls;
use graceful_server::relay::{Relay, ServerNames};
use graceful_server::{admin, http, observe};
use graceful_store::Store;

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Address and port to listen on
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Print addresses as one line of JSON
    #[arg(long)]
    json: bool,
    #[cfg(unix)]
    #[command(flatten)]
    daemon: daemon::Daemon,
    /// Run under the Windows service manager
    #[cfg(windows)]
    #[arg(long, hide = true)]
    windows_service: bool,
    #[command(flatten)]
    config_args: ConfigArgs,
}

impl Serve {
    /// Detaches from the terminal, with `--daemon`.
    #[cfg(unix)]
    pub(crate) fn daemonize(&self) -> anyhow::Result<()> {
        match self.daemon.is_wanted() {
            true => self
                .daemon
                .daemonize(&self.config_args.load(self.listen.clone())?),
            false => Ok(()),
        }
    }

    #[cfg(windows)]
    pub(crate) const fn is_service(&self) -> bool {
        self.windows_service
    }

    /// The data directory.
    #[cfg(windows)]
    pub(crate) fn data_dir(&self) -> anyhow::Result<std::path::PathBuf> {
        Ok(self.config_args.load(self.listen.clone())?.data_dir)
    }

    /// Log options; a Windows service has no standard error.
    fn log(&self, config: &Config) -> Log {
        #[cfg(windows)]
        if self.windows_service {
            return windows_service::with_files(config.log.clone());
        }
        config.log.clone()
    }

    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let config = self.config_args.load(self.listen.clone())?;
        let log_level = logging::start(&self.log(&config))?;
        let starting = service_notify::StartupNotifier::begin();
        // Before the store: while the port is in use, another relay may have the store open.
        let tcp = public_listener(&config).await?;
        let address = tcp.local_addr()?;
        let plain = plain_listener(&config).await?;
        let metrics_tcp = metrics_listener(&config).await?;
        let metrics = metrics_tcp
            .as_ref()
            .and_then(|listener| listener.local_addr().ok());
        let (relay, tls) = start(&config, address).await?;
        drop(starting);
        let shutdown = CancellationToken::new();
        let admin_socket = admin::Socket::bind(&config.data_dir).await?;
        let recorder =
            observe::Recorder::begin(&config.data_dir, config.sla_terms.clone(), relay.clone());
        let recording = CancellationToken::new();
        let uptime_task = tokio::spawn(recorder.clone().keep(recording.clone()));
        let reload = ReloadHandle::new(config.reloadable.clone());
        let reloader = Reloader::new(
            self.config_args,
            self.listen,
            reload.clone(),
            log_level,
            config.clone(),
        );
        let service = admin::AdminService::new(relay.clone(), tls.clone())
            .about(
                banner::about(&config, address, tls.as_ref()),
                recorder.clone(),
            )
            .with_reloader(Arc::new(move || reloader.reload()));
        let admin_task = tokio::spawn(admin::serve(
            admin_socket,
            service.clone(),
            shutdown.clone(),
        ));
        tokio::spawn(stop_on_signal(shutdown.clone())?);
        reload_on_sighup(service, shutdown.clone())?;
        if let Some(warning) = config.warning() {
            tracing::warn!("{warning}");
        }
        if let Some(interval) = config.canary_interval {
            let target = observe::CanaryTarget::new(address, tls.clone(), &config.admission);
            tokio::spawn(
                observe::CanaryRunner::new(relay.clone(), target).run(interval, shutdown.clone()),
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
        let page_task = config.status_page.clone().map(|name| {
            let (recorder, relay) = (recorder.clone(), relay.clone());
            tokio::spawn(observe::page::refresh(
                page.clone(),
                name,
                recorder,
                relay,
                recording.clone(),
            ))
        });
        let mut listener = match tls {
            Some(tls) => Listener::with_tls(tcp, tls, plain),
            None => tcp.into(),
        };
        listener = listener.with_reloadable(reload).with_page(page);
        if let Some(metrics_tcp) = metrics_tcp {
            listener = listener.with_metrics(metrics_tcp);
        }
        let served = http::run(listener, relay, config.http_options(), shutdown.clone()).await;
        shutdown.cancel();
        admin_task.await.context("admin task panicked")?;
        recording.cancel();
        uptime_task.await.context("uptime task panicked")?;
        if let Some(page_task) = page_task {
            page_task.await.context("status page task panicked")?;
        }
        recorder.end(served.is_ok()).await;
        served?;
        tracing::info!("stopped");
        Ok(())
    }
}

async fn public_listener(config: &Config) -> anyhow::Result<TcpListener> {
    let Some(passed) = service_notify::listener()? else {
        return bind(config.listen, "--listen or `server.listen`").await;
    };
    let address = passed.local_addr()?;
    if config.tls_mode == TlsMode::Off && !address.ip().is_loopback() {
        bail!(
            "the service manager passed {address}, which other machines can reach, but `tls.mode` is \"off\"; \
             set another mode, or pass 127.0.0.1"
        );
    }
    Ok(passed)
}

async fn plain_listener(config: &Config) -> anyhow::Result<Option<TcpListener>> {
    match config.http_listen {
        Some(plain) => bind(plain, "`tls.http_listen`").await.map(Some),
        None => Ok(None),
    }
}

/// Another relay on this machine may use the default port; then this one starts without metrics.
async fn metrics_listener(config: &Config) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = config.metrics.address else {
        return Ok(None);
    };
    match bind(address, "`metrics.listen`").await {
        Err(error) if !config.metrics.chosen => {
            tracing::warn!("metrics disabled: {error}");
            Ok(None)
        }
        bound => bound.map(Some),
    }
}

/// Opens the store on a blocking thread: recovery may take seconds.
async fn start(config: &Config, address: SocketAddr) -> anyhow::Result<(Relay, Option<Tls>)> {
    let (folder, options) = (config.data_dir.clone(), config.store_options());
    let (setup, names) = (config.tls.clone(), config.domains.clone());
    let opened = tokio::task::spawn_blocking(move || {
        let store = Store::open(&folder, options)?;
        let tls = setup
            .map(|setup| Tls::prepare(setup, names, &folder))
            .transpose()?;
        anyhow::Ok((store, tls))
    });
    let (store, tls) = opened.await.context("store task panicked")??;
    let mut options = config.relay_options();
    if let Some(tls) = &tls {
        options.server_names = ServerNames::new(hosts(tls.names(), address));
    }
    Ok((Relay::start(store, options), tls))
}

/// Adds the listen address to the names that devices may connect to.
fn hosts(mut names: Vec<String>, address: SocketAddr) -> Vec<String> {
    if !address.ip().is_unspecified() {
        names.push(address.ip().to_string());
    }
    names
}

/// Reloads configuration and certificate on SIGHUP.
#[cfg(unix)]
fn reload_on_sighup(
    service: admin::AdminService,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    // Also without TLS: unhandled, the signal would end the process.
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        // Ends with the relay: a task that holds the store would keep it open.
        while let Some(Some(())) = shutdown.run_until_cancelled(hangup.recv()).await {
            let service = service.clone();
            match tokio::task::spawn_blocking(move || service.reload()).await {
                Ok(Ok(text)) => tracing::info!("{text}"),
                Ok(Err(text)) => tracing::error!("{text}"),
                Err(_) => tracing::error!("reload task panicked"),
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

/// Cancels `shutdown` on SIGTERM or Ctrl-C. Handlers are in place when this returns.
#[cfg(unix)]
fn stop_on_signal(shutdown: CancellationToken) -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        for step in [Step::Drain, Step::Exit] {
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
        for step in [Step::Drain, Step::Exit] {
            tokio::select! {
                pressed = tokio::signal::ctrl_c() => {
                    // Without the handler, only the end of the process stops the relay.
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

/// The manager asks once.
#[cfg(windows)]
async fn stopped_by_service_manager(shutdown: &CancellationToken) {
    if shutdown.is_cancelled() {
        std::future::pending().await
    }
    windows_service::stop_requested().await;
}

#[cfg(not(any(unix, windows)))]
async fn stopped_by_service_manager(_shutdown: &CancellationToken) {
    std::future::pending().await
}

/// The effect of the first and of the second signal.
enum Step {
    Drain,
    Exit,
}

impl Step {
    fn take(self, shutdown: &CancellationToken) {
        match self {
            Self::Drain => {
                tracing::info!("shutting down; a second signal exits at once");
                shutdown.cancel();
            }
            Self::Exit => {
                // Acknowledged pushes are on disk; devices repeat the others.
                tracing::warn!("second signal: exiting at once");
                std::process::exit(INTERRUPTED_EXIT_CODE.into());
            }
        }
    }
}
