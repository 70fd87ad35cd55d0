//! One HTTP connection: its head must come in time and be of reasonable size.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::Door;
use super::stall::StallLimited;
use super::tls::Handshake;

/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// Bytes that hyper reads ahead; a body comes in pieces of this size.
const READ_AHEAD_BYTES_MAX: usize = 64 * 1024;
/// What a plain request may still take when the relay stops. A client repeats what was cut.
const LAST_REQUEST: Duration = Duration::from_secs(2);

/// Serves connections, all in the same way: a TCP stream, the TLS handshake if there is one, HTTP.
#[derive(Clone)]
pub(super) struct Connections {
    door: Arc<Door>,
    routes: BoxedFilter<(Response,)>,
    handshake: Option<Handshake>,
    protocol: http1::Builder,
}

impl Connections {
    pub(super) fn new(
        door: &Arc<Door>,
        routes: BoxedFilter<(Response,)>,
        handshake: Option<Handshake>,
    ) -> Self {
        let mut protocol = http1::Builder::new();
        protocol
            .timer(TokioTimer::new())
            .header_read_timeout(door.options.head_timeout)
            .max_headers(HEADERS_MAX)
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(READ_AHEAD_BYTES_MAX);
        Self { door: door.clone(), routes, handshake, protocol }
    }

    /// Serves one, in a task of its own. The slot is free again when the connection has ended or
    /// has become a conversation.
    pub(super) fn serve(&self, stream: TcpStream, slot: OwnedSemaphorePermit) {
        // Frames are small and waited for. A socket that refuses the option still works.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection without TCP_NODELAY");
        }
        // Below TLS, so that a peer that takes nothing is noticed in the handshake, too.
        let stream = StallLimited::new(stream, self.door.options.write_timeout);
        match self.handshake.clone() {
            None => self.door.spawn(hold(self.converse(stream), slot)),
            Some(handshake) => {
                let this = self.clone();
                self.door.spawn(async move {
                    match handshake.shake(stream).await {
                        Ok(Some(stream)) => hold(this.converse(stream), slot).await,
                        Ok(None) => {}
                        Err(error) => tracing::debug!(%error, "no TLS handshake"),
                    }
                });
            }
        }
    }

    /// HTTP over whatever lies below, until it ends or the relay does.
    fn converse<S>(&self, stream: S) -> impl Future<Output = ()> + Send + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = TowerToHyperService::new(warp::service(self.routes.clone()));
        let connection = self.protocol.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let closing = self.door.closing.clone();
        async move {
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = closing.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    tokio::time::timeout(LAST_REQUEST, connection).await.unwrap_or(Ok(()))
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            }
        }
    }
}

/// The slot is taken as long as this runs.
async fn hold(connection: impl Future<Output = ()>, slot: OwnedSemaphorePermit) {
    connection.await;
    drop(slot);
}
