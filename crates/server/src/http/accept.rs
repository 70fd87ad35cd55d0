//! The accept loop: from a listening socket to one task per connection, until told to stop.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::connection::Connections;
use super::operators::Operators;
use super::redirect::redirects;
use super::routes::routes;
use super::tls::{Handshake, Tls};
use super::{Door, Listener, Live, LiveOptions, Options, Stopped};
use crate::relay::Relay;

/// After an error that the next attempt would only repeat, such as too many open files.
const PAUSE: Duration = Duration::from_millis(500);

/// Serves until `shutdown`, then ends every conversation and stops the relay.
///
/// # Errors
/// [`Stopped`] where the relay could not go on.
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
        operators,
        live,
        page,
    } = listener.into();
    let live = live.unwrap_or_else(|| Live::new(LiveOptions::of(&options)));
    let metrics = relay.metrics().clone();
    let door = Door::new(relay.clone(), options, (live, page), tls.clone(), metrics);
    // To the very end: what happens while it drains is of interest, too.
    let operators = operators.map(|listener| Operators::serve(listener, &door));
    let connections = the_relay(&door, tls.as_ref());
    let stopped = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        () = relay.failed() => Err(Stopped::StoreFailed),
        () = accept_all(&tcp, &connections) => Ok(()),
        () = redirect_all(plain, &door, tls.as_ref()) => Ok(()),
        () = keep_watch(tls.as_ref()) => Ok(()),
    };
    // Who comes meanwhile is told to come back.
    tokio::select! {
        () = door.drain() => {}
        () = accept_all(&tcp, &connections) => {}
    }
    drop(tcp);
    door.close().await;
    if let Some(operators) = operators {
        operators.stop().await;
    }
    // A relay whose store failed has nothing left to commit.
    if stopped.is_ok() {
        relay.stop().await;
    }
    stopped
}

/// What the relay is there for, behind its own TLS if it has one.
fn the_relay(door: &Arc<Door>, tls: Option<&Tls>) -> Connections {
    let handshake = tls.map(|tls| Handshake::new(tls, door.options.handshake_timeout));
    Connections::new(door, routes(door), handshake)
}

/// Beside it, where there is a second listener: plain, and only to send people on. Never returns.
async fn redirect_all(listener: Option<TcpListener>, door: &Arc<Door>, tls: Option<&Tls>) {
    let (Some(listener), Some(tls)) = (listener, tls) else {
        return std::future::pending().await;
    };
    accept_all(&listener, &Connections::new(door, redirects(tls), None)).await;
}

async fn keep_watch(tls: Option<&Tls>) {
    match tls {
        Some(tls) => tls.keep_watch().await,
        None => std::future::pending().await,
    }
}

/// Never returns.
pub(super) async fn accept_all(listener: &TcpListener, connections: &Connections) {
    let mut failing = false;
    loop {
        match next(listener).await {
            Ok((stream, peer)) => {
                failing = false;
                connections.serve(stream, peer);
            }
            Err(error) if is_the_peers(&error) => {}
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

/// The peer left before it was accepted: says nothing about the next one.
fn is_the_peers(error: &io::Error) -> bool {
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
        assert!(is_the_peers(&io::ErrorKind::ConnectionAborted.into()));
        // EMFILE: trying again at once would only spin.
        assert!(!is_the_peers(&io::Error::from_raw_os_error(24)));
    }
}
