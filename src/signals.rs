//! Being told to stop: by Ctrl-C, or by whoever started the program.

/// Somebody stopped the program before it was done.
#[derive(Debug, thiserror::Error)]
#[error("stopped")]
pub(super) struct Interrupted;

/// Resolves when the program is told to stop. From this call on, being told no longer ends it at once.
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
