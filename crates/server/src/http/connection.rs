//! One HTTP connection, with limits on the time and the size of a request header.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use warp::filters::BoxedFilter;
use warp::http::header::HeaderMap;
use warp::reply::Response;

use super::ServerState;
use super::headers::secure;
use super::reject::rejection_response;
use crate::net::admission::{ConnectionGuard, PeerAddressSource};
use crate::net::client_ip::from_x_forwarded_for;
use crate::net::io::read_ahead::ReadAhead;
use crate::net::io::throttle::Throttled;
use crate::net::io::write_timeout::WriteTimeout;
use crate::net::proxy_header;
use crate::net::tls::Handshake;
use crate::observe::RejectReason;
use graceful_rules::admission::Rejected;

/// Bytes of a request header.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Header fields of a request.
const HEADERS_MAX: usize = 64;
/// Bytes that hyper reads ahead; a body arrives in chunks of this size.
const READ_AHEAD_BYTES_MAX: usize = 64 * 1024;
/// The time for a request in progress at shutdown. Clients retry.
const LAST_REQUEST: Duration = Duration::from_secs(2);

/// Serves connections: admission, the TLS handshake if there is one, then HTTP.
#[derive(Clone)]
pub(super) struct ConnectionHandler {
    state: Arc<ServerState>,
    routes: BoxedFilter<(Response,)>,
    handshake: Option<Handshake>,
    protocol: http1::Builder,
}

impl ConnectionHandler {
    pub(super) fn new(
        state: &Arc<ServerState>,
        routes: BoxedFilter<(Response,)>,
        handshake: Option<Handshake>,
    ) -> Self {
        let mut protocol = http1::Builder::new();
        protocol
            .timer(TokioTimer::new())
            .header_read_timeout(state.options.head_timeout)
            .max_headers(HEADERS_MAX)
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(READ_AHEAD_BYTES_MAX);
        Self {
            state: state.clone(),
            routes,
            handshake,
            protocol,
        }
    }

    /// Serves a connection in its own task, or rejects it.
    pub(super) fn serve(&self, stream: TcpStream, peer: IpAddr) {
        // Frames are small and latency matters. A socket without the option still works.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "setting TCP_NODELAY failed");
        }
        self.state.metrics.connections_accepted.inc();
        let address_source = self.state.admission.address_source(peer);
        let from = (address_source == PeerAddressSource::Socket).then_some(peer);
        match self.state.admission.admit(from) {
            Ok(guard) => {
                let this = self.clone();
                self.state
                    .spawn(async move { this.receive(stream, guard, address_source).await });
            }
            Err(rejected) => self.reject(stream, rejected),
        }
    }

    /// With TLS, a response would need a handshake, which costs more than it is worth: the
    /// connection is dropped.
    fn reject(&self, stream: TcpStream, rejected: Rejected) {
        self.state
            .metrics
            .record_rejection(if rejected.per_address_limit {
                RejectReason::Address
            } else {
                RejectReason::Unauthenticated
            });
        if self.handshake.is_some() {
            tracing::debug!(why = rejected.reason, "connection rejected");
            return drop(stream);
        }
        self.state.reject(stream, rejected);
    }

    /// Serves until the connection ends or becomes a session.
    async fn receive(
        &self,
        mut stream: TcpStream,
        guard: Arc<ConnectionGuard>,
        address_source: PeerAddressSource,
    ) {
        let evicted = guard.clone();
        let received = async {
            if address_source == PeerAddressSource::ProxyHeader {
                match tokio::time::timeout(
                    self.state.options.head_timeout,
                    proxy_header::read(&mut stream),
                )
                .await
                {
                    Ok(Ok(Some(from))) => {
                        if let Err(rejected) = guard.set_address(from) {
                            return self.reject(stream, rejected);
                        }
                    }
                    Ok(Ok(None)) => {}
                    Ok(Err(error)) => {
                        self.state
                            .metrics
                            .record_rejection(RejectReason::ProxyHeader);
                        return tracing::debug!(%error, "connection of a proxy rejected");
                    }
                    Err(_) => {
                        self.state
                            .metrics
                            .record_rejection(RejectReason::ProxyHeader);
                        return tracing::debug!("a proxy sent no PROXY protocol header");
                    }
                }
            }
            // Below TLS, so that the timeout covers the handshake.
            let stream = WriteTimeout::new(stream, self.state.options.write_timeout);
            let stream = Throttled::new(stream, guard.clone(), self.state.metrics.clone());
            match &self.handshake {
                None => self.serve_http(stream, guard, address_source).await,
                Some(handshake) => match handshake
                    .accept(ReadAhead::new(stream), &self.state.admission)
                    .await
                {
                    Ok(Some(stream)) => self.serve_http(stream, guard, address_source).await,
                    Ok(None) => {}
                    Err(error) => {
                        self.state.metrics.record_rejection(RejectReason::Handshake);
                        tracing::debug!(%error, "TLS handshake failed");
                    }
                },
            }
        };
        tokio::select! {
            () = evicted.evicted() => {
                self.state.metrics.record_rejection(RejectReason::Evicted);
                tracing::debug!("connection evicted");
            }
            () = received => {}
        }
    }

    /// Serves HTTP until the connection or the relay ends.
    async fn serve_http<S>(
        &self,
        stream: S,
        guard: Arc<ConnectionGuard>,
        address_source: PeerAddressSource,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let routes = TowerToHyperService::new(warp::service(self.routes.clone()));
        let (state, through_proxy) = (
            self.state.clone(),
            address_source != PeerAddressSource::Socket,
        );
        let over_tls = self.handshake.is_some();
        let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            let rejected = if through_proxy {
                apply_forwarded_address(&state, &guard, request.headers())
            } else {
                None
            };
            request.extensions_mut().insert(guard.clone());
            let answer = rejected.ok_or_else(|| routes.call(request));
            async move {
                let mut response = match answer {
                    Ok(rejected) => rejected,
                    Err(answer) => answer.await?,
                };
                secure(response.headers_mut(), over_tls);
                Ok::<_, Infallible>(response)
            }
        });
        let connection = self
            .protocol
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.state.closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(LAST_REQUEST, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended early");
        }
    }
}

/// Sets the address from X-Forwarded-For, or returns the rejection.
fn apply_forwarded_address(
    state: &ServerState,
    guard: &ConnectionGuard,
    headers: &HeaderMap,
) -> Option<Response> {
    if guard.address().is_some() {
        return None;
    }
    let from = from_x_forwarded_for(&state.admission.options().trusted_proxies, headers)?;
    let rejected = guard.set_address(from).err()?;
    state
        .metrics
        .record_rejection(if rejected.per_address_limit {
            RejectReason::Address
        } else {
            RejectReason::Unauthenticated
        });
    Some(rejection_response(&rejected))
}
