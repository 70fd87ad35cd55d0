//! One HTTP connection: its head must come in time and be of reasonable size.

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

/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// Bytes that hyper reads ahead; a body comes in pieces of this size.
const READ_AHEAD_BYTES_MAX: usize = 64 * 1024;
/// What a plain request may still take when the relay stops. A client repeats what was cut.
const LAST_REQUEST: Duration = Duration::from_secs(2);

/// Serves connections, all in the same way: who it is, the TLS handshake if there is one, then HTTP.
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

    /// Serves one, in a task of its own, or turns it away.
    pub(super) fn serve(&self, stream: TcpStream, peer: IpAddr) {
        // Frames are small and waited for. A socket that refuses the option still works.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection without TCP_NODELAY");
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

    /// Where TLS is spoken, words could only be said after a handshake, which costs more than they are
    /// worth: the connection just ends.
    fn reject(&self, stream: TcpStream, rejected: Rejected) {
        self.state
            .metrics
            .record_rejection(if rejected.per_address_limit {
                RejectReason::Address
            } else {
                RejectReason::Unauthenticated
            });
        if self.handshake.is_some() {
            tracing::debug!(why = rejected.reason, "a connection was rejected");
            return drop(stream);
        }
        self.state.reject(stream, rejected);
    }

    /// Until the connection has ended or has become a conversation.
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
                        return tracing::debug!(%error, "a proxy's connection was not let in");
                    }
                    Err(_) => {
                        self.state
                            .metrics
                            .record_rejection(RejectReason::ProxyHeader);
                        return tracing::debug!("a proxy's connection said nothing");
                    }
                }
            }
            // Below TLS, so that a peer that takes nothing is noticed in the handshake, too.
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
                        tracing::debug!(%error, "no TLS handshake");
                    }
                },
            }
        };
        tokio::select! {
            () = evicted.evicted() => {
                self.state.metrics.record_rejection(RejectReason::Evicted);
                tracing::debug!("a connection made room for others");
            }
            () = received => {}
        }
    }

    /// HTTP over whatever lies below, until it ends or the relay does.
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
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// Places a visitor where its proxy says it comes from, or says why it cannot stay.
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
