//! The accept loop: one task per connection, until shutdown.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::connection::ConnectionHandler;
use super::metrics_listener::MetricsListener;
use super::redirect::redirect_routes;
use super::routes::routes;
use super::{Listener, Options, ReloadHandle, ReloadableOptions, ServerState, Stopped};
use crate::net::tls::{Handshake, Tls};
use crate::relay::Relay;

/// Backoff after an error that the next attempt would repeat, such as too many open files.
const PAUSE: Duration = Duration::from_millis(500);

/// Serves until `shutdown`, then ends every session and stops the relay.
///
/// # Errors
/// [`Stopped`] if the relay failed.
pub async fn run(
    listener: impl Into<Listener>,
    relay: Relay,
    options: Options,
    shutdown: CancellationToken,
) -> Result<(), Stopped> {
    let Listener {
        tcp,
        tls,
        plain,
        metrics_listener,
        reloadable,
        page,
    } = listener.into();
    let reloadable =
        reloadable.unwrap_or_else(|| ReloadHandle::new(ReloadableOptions::new(&options)));
    if let Some(tls) = &tls {
        tls.report_to(relay.readiness());
    }
    let metrics = relay.metrics().clone();
    let state = ServerState::new(
        relay.clone(),
        options,
        (reloadable, page),
        tls.clone(),
        metrics,
    );
    // Open to the end, so that the drain can be observed.
    let metrics_listener =
        metrics_listener.map(|listener| MetricsListener::serve(listener, &state));
    let connections = relay_routes(&state, tls.as_ref());
    let stopped = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        () = relay.failed() => Err(Stopped::StoreFailed),
        () = accept_all(&tcp, &connections) => Ok(()),
        () = redirect_all(plain, &state, tls.as_ref()) => Ok(()),
        () = watch_certificate(tls.as_ref()) => Ok(()),
    };
    // New connections are rejected with a retry time.
    tokio::select! {
        () = state.drain() => {}
        () = accept_all(&tcp, &connections) => {}
    }
    drop(tcp);
    state.close().await;
    if let Some(metrics_listener) = metrics_listener {
        metrics_listener.stop().await;
    }
    // A relay whose store failed has nothing to commit.
    if stopped.is_ok() {
        relay.stop().await;
    }
    stopped
}

/// The routes of the relay, behind its own TLS if it has one.
fn relay_routes(state: &Arc<ServerState>, tls: Option<&Tls>) -> ConnectionHandler {
    let handshake = tls.map(|tls| Handshake::new(tls, state.options.handshake_timeout));
    ConnectionHandler::new(state, routes(state), handshake)
}

/// Serves redirects on the plain listener. Never returns.
async fn redirect_all(listener: Option<TcpListener>, state: &Arc<ServerState>, tls: Option<&Tls>) {
    let (Some(listener), Some(tls)) = (listener, tls) else {
        return std::future::pending().await;
    };
    accept_all(
        &listener,
        &ConnectionHandler::new(state, redirect_routes(tls), None),
    )
    .await;
}

async fn watch_certificate(tls: Option<&Tls>) {
    match tls {
        Some(tls) => tls.watch_certificate().await,
        None => std::future::pending().await,
    }
}

/// Accepts connections. Never returns.
pub(super) async fn accept_all(listener: &TcpListener, connections: &ConnectionHandler) {
    let mut failing = false;
    loop {
        match next(listener).await {
            Ok((stream, peer)) => {
                failing = false;
                connections.serve(stream, peer);
            }
            Err(error) if is_peer_error(&error) => {}
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, "no new connections for now");
                }
                failing = true;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn next(listener: &TcpListener) -> io::Result<(TcpStream, IpAddr)> {
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer.ip()))
}

/// Returns whether only this peer failed, before it was accepted.
fn is_peer_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_one_peer_are_passed_over_at_once() {
        assert!(is_peer_error(&io::ErrorKind::ConnectionAborted.into()));
        // EMFILE: an immediate retry would only spin.
        assert!(!is_peer_error(&io::Error::from_raw_os_error(24)));
    }
}
