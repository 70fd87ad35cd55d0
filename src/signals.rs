//! SIGINT and SIGTERM.

/// Exit code of a program that a signal ended, as shells report Ctrl-C.
pub(crate) const INTERRUPTED_EXIT_CODE: u8 = 130;

/// A signal ended the command early.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(super) struct Interrupted;

/// Resolves on SIGINT or SIGTERM. From this call on, these signals no longer end the process.
#[cfg(unix)]
pub(super) fn stop_requested() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    );
    async move {
        let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
pub(super) fn stop_requested() -> impl Future<Output = ()> {
    async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}
