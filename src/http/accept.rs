//! The accept loop: from a listening socket to one task per connection, until told to stop.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::connection::Connections;
use super::{Door, Options, Stopped};
use crate::relay::Relay;

/// After an error that the next attempt would only repeat, such as too many open files.
const PAUSE: Duration = Duration::from_millis(500);

/// Serves until `shutdown`, then ends every conversation and stops the relay.
///
/// # Errors
/// [`Stopped`] where the relay could not go on.
pub async fn run(
    listener: TcpListener,
    relay: Relay,
    options: Options,
    shutdown: CancellationToken,
) -> Result<(), Stopped> {
    let door = Door::new(relay.clone(), options);
    let stopped = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        () = relay.failed() => Err(Stopped::StoreFailed),
        () = accept_all(&listener, &door) => Ok(()),
    };
    // Who comes meanwhile is told to come back.
    tokio::select! {
        () = door.drain() => {}
        () = accept_all(&listener, &door) => {}
    }
    drop(listener);
    door.close().await;
    // A relay whose store failed has nothing left to commit.
    if stopped.is_ok() {
        relay.stop().await;
    }
    stopped
}

/// Never returns.
async fn accept_all(listener: &TcpListener, door: &Arc<Door>) {
    let connections = Connections::new(door);
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
