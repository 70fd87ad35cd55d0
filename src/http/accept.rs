//! The accept loop: from a listening socket to one task per connection, until told to stop.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
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
        () = accept_all(listener, &door) => Ok(()),
    };
    door.close().await;
    // A relay whose store failed has nothing left to commit.
    if stopped.is_ok() {
        relay.stop().await;
    }
    stopped
}

/// Never returns; dropping it closes the listening socket.
async fn accept_all(listener: TcpListener, door: &Arc<Door>) {
    let connections = Connections::new(door);
    let mut failing = false;
    loop {
        match next(&listener, door).await {
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
async fn next(listener: &TcpListener, door: &Door) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = door.plain.clone().acquire_owned().await.map_err(io::Error::other)?;
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
