//! Messages to and sockets from the service manager: sd_notify(3), sd_listen_fds(3).

use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use graceful_server::relay::Relay;

/// How often startup asks for more time, and for how much: recovery and upgrades may take long.
const EXTEND_TIMEOUT_INTERVAL: Duration = Duration::from_secs(10);
#[cfg(unix)]
const EXTEND_TIMEOUT_US: u32 = 60_000_000;

/// Extends the start timeout until it is dropped.
pub(super) struct StartupNotifier(CancellationToken);

impl StartupNotifier {
    pub(super) fn begin() -> Self {
        let done = CancellationToken::new();
        let until = done.clone();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(EXTEND_TIMEOUT_INTERVAL);
            while until.run_until_cancelled(ticks.tick()).await.is_some() {
                notify(&[Notification::ExtendTimeout]);
            }
        });
        Self(done)
    }
}

impl Drop for StartupNotifier {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Notifies ready, then the watchdog while the store answers reads, then stopping. The manager restarts a
/// relay that hangs.
pub(super) async fn report(url: String, relay: Relay, shutdown: CancellationToken) {
    notify(&[
        Notification::Ready,
        Notification::Status(format!("devices connect to {url}")),
    ]);
    if let Some(limit) = watchdog() {
        let mut ticks = tokio::time::interval(limit / 3);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            let reader = relay.clone();
            let alive = tokio::task::spawn_blocking(move || reader.status().is_ok()).await;
            if alive.unwrap_or(false) {
                notify(&[Notification::Watchdog]);
            }
        }
    }
    shutdown.cancelled().await;
    notify(&[
        Notification::Stopping,
        Notification::Status("disconnecting devices".to_owned()),
    ]);
}

#[cfg_attr(not(unix), expect(dead_code, reason = "no service manager"))]
enum Notification {
    ExtendTimeout,
    Ready,
    Watchdog,
    Stopping,
    Status(String),
}

#[cfg(unix)]
fn notify(what: &[Notification]) {
    use sd_notify::NotifyState;
    let states = what.iter().map(|said| match said {
        Notification::ExtendTimeout => NotifyState::ExtendTimeoutUsec(EXTEND_TIMEOUT_US),
        Notification::Ready => NotifyState::Ready,
        Notification::Watchdog => NotifyState::Watchdog,
        Notification::Stopping => NotifyState::Stopping,
        Notification::Status(text) => NotifyState::Status(text),
    });
    if let Err(error) = sd_notify::notify(&states.collect::<Vec<_>>()) {
        tracing::warn!(%error, "cannot notify the service manager");
    }
}

#[cfg(windows)]
fn notify(what: &[Notification]) {
    use super::windows_service;
    for said in what {
        match said {
            Notification::Ready => windows_service::ready(),
            Notification::Stopping => windows_service::stopping(),
            Notification::ExtendTimeout | Notification::Watchdog | Notification::Status(_) => {}
        }
    }
}

#[cfg(not(any(unix, windows)))]
fn notify(_what: &[Notification]) {}

#[cfg(unix)]
fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

#[cfg(not(unix))]
fn watchdog() -> Option<Duration> {
    None
}

/// The public listener, if the service manager passed one. It overrides `server.listen`.
#[cfg(unix)]
pub(super) fn listener() -> anyhow::Result<Option<TcpListener>> {
    use anyhow::Context;
    let socket = listenfd::ListenFd::from_env().take_tcp_listener(0);
    let Some(socket) = socket.context("the socket from the service manager is not a TCP socket")?
    else {
        return Ok(None);
    };
    socket.set_nonblocking(true)?;
    Ok(Some(TcpListener::from_std(socket)?))
}

#[cfg(not(unix))]
pub(super) fn listener() -> anyhow::Result<Option<TcpListener>> {
    Ok(None)
}
