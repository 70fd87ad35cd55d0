//! What the relay and the service manager that started it tell each other: sd_notify(3), sd_listen_fds(3).
//! Where none started it, nothing.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use graceful_server::relay::Relay;

/// While the store is opened, which may take long after a crash or for an upgrade, the manager is asked for
/// more time so often, and for so much.
const EXTEND_TIMEOUT_INTERVAL: Duration = Duration::from_secs(10);
#[cfg(unix)]
const EXTEND_TIMEOUT_US: u32 = 60_000_000;

/// Asks for patience until it is dropped.
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

/// Tells the manager that devices may come, then that the relay does its work, as often as it wants to hear
/// that, and at last that it ends. What shows that it works is a look into the store: a relay that hangs is
/// started anew.
pub(super) async fn report(url: String, relay: Relay, shutdown: CancellationToken) {
    notify(&[
        Notification::Ready,
        Notification::Status(format!("devices dial {url}")),
    ]);
    if let Some(limit) = watchdog() {
        let mut ticks = tokio::time::interval(limit / 3);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            let looking = relay.clone();
            let looked = tokio::task::spawn_blocking(move || looking.status().is_ok()).await;
            if looked.unwrap_or(false) {
                notify(&[Notification::Watchdog]);
            }
        }
    }
    shutdown.cancelled().await;
    notify(&[
        Notification::Stopping,
        Notification::Status("sending devices away".to_owned()),
    ]);
}

#[cfg_attr(not(unix), expect(dead_code, reason = "there is nobody to tell"))]
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
        tracing::warn!(%error, "the service manager could not be told how the relay is doing");
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

/// The public port, where the manager has opened it already. Then it goes before `server.listen`.
#[cfg(unix)]
pub(super) fn listener() -> anyhow::Result<Option<TcpListener>> {
    use anyhow::Context;
    let given = listenfd::ListenFd::from_env().take_tcp_listener(0);
    let Some(given) = given.context("the socket from the service manager is not one for TCP")?
    else {
        return Ok(None);
    };
    given.set_nonblocking(true)?;
    Ok(Some(TcpListener::from_std(given)?))
}

#[cfg(not(unix))]
pub(super) fn listener() -> anyhow::Result<Option<TcpListener>> {
    Ok(None)
}
