//! The accept loop: from a listening socket to one task per connection, until told to stop.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::connection::Connections;
use super::redirect::redirects;
use super::routes::routes;
use super::tls::{Handshake, Tls};
use super::{Door, Listener, Options, Stopped};
use crate::relay::Relay;

/// After an error that the next attempt would only repeat, such as too many open files.
const PAUSE: Duration = Duration::from_millis(500);

/// Connections at a time that are only sent on to where TLS is spoken. They take nothing from others.
const REDIRECTS_MAX: usize = 64;

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
    let Listener { tcp, tls, plain } = listener.into();
    let door = Door::new(relay.clone(), options);
    let stopped = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        () = relay.failed() => Err(Stopped::StoreFailed),
        () = accept_all(tcp, the_relay(&door, tls.as_ref()), door.plain.clone()) => Ok(()),
        () = redirect_all(plain, &door, tls.as_ref()) => Ok(()),
        () = keep_watch(tls.as_ref()) => Ok(()),
    };
    door.close().await;
    // A relay whose store failed has nothing left to commit.
    if stopped.is_ok() {
        relay.stop().await;
    }
    stopped
}

/// What the relay is there for, behind its own TLS if it has one.
fn the_relay(door: &Arc<Door>, tls: Option<&Tls>) -> Connections {
    let handshake = tls.map(|tls| Handshake::new(tls, door.options.handshake_timeout));
    Connections::new(door, routes(door, tls.is_some()), handshake)
}

/// Beside it, where there is a second listener: plain, and only to send people on. Never returns.
async fn redirect_all(listener: Option<TcpListener>, door: &Arc<Door>, tls: Option<&Tls>) {
    let (Some(listener), Some(tls)) = (listener, tls) else {
        return std::future::pending().await;
    };
    let slots = Arc::new(Semaphore::new(REDIRECTS_MAX));
    accept_all(listener, Connections::new(door, redirects(tls), None), slots).await;
}

async fn keep_watch(tls: Option<&Tls>) {
    match tls {
        Some(tls) => tls.keep_watch().await,
        None => std::future::pending().await,
    }
}

/// Never returns; dropping it closes the listening socket.
async fn accept_all(listener: TcpListener, connections: Connections, slots: Arc<Semaphore>) {
    let mut failing = false;
    loop {
        match next(&listener, &slots).await {
            Ok((stream, slot)) => {
                failing = false;
                connections.serve(stream, slot);
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

/// Waits for a free slot first: while there is none, newcomers wait in the kernel's queue.
async fn next(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

/// The peer left before it was accepted: says nothing about the next one.
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
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
