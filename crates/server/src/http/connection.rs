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

use super::doorkeeper::{Reception, Visitor};
use super::headers::secure;
use super::pace::Paced;
use super::proxy_header::{self, NoHeader};
use super::read_ahead::ReadAhead;
use super::source::forwarded;
use super::stall::StallLimited;
use super::tls::Handshake;
use super::turn_away::turned_away;
use super::{Door, ProxyHeader};
use crate::relay::Away;
use graceful_rules::admission::TurnedAway;

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
        Self {
            door: door.clone(),
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
        self.door.metrics.arrivals.increase();
        let reception = self.door.doorkeeper.reception(peer);
        let from = (reception == Reception::Direct).then_some(peer);
        match self.door.doorkeeper.enter(from) {
            Ok(visitor) => {
                let this = self.clone();
                self.door
                    .spawn(async move { this.receive(stream, visitor, reception).await });
            }
            Err(away) => self.turn_away(stream, away),
        }
    }

    /// Where TLS is spoken, words could only be said after a handshake, which costs more than they are
    /// worth: the connection just ends.
    fn turn_away(&self, stream: TcpStream, away: TurnedAway) {
        self.door.metrics.sent_away(if away.greedy {
            Away::Address
        } else {
            Away::Newcomers
        });
        if self.handshake.is_some() {
            tracing::debug!(why = away.why, "a connection was turned away");
            return drop(stream);
        }
        self.door.turn_away(stream, away);
    }

    /// Until the connection has ended or has become a conversation.
    async fn receive(&self, mut stream: TcpStream, visitor: Arc<Visitor>, reception: Reception) {
        let cut = visitor.clone();
        let received = async {
            if reception == Reception::Header {
                match tokio::time::timeout(self.door.options.head_timeout, self.ask(&mut stream))
                    .await
                {
                    Ok(Ok(Some(from))) => {
                        if let Err(away) = visitor.settle(from) {
                            return self.turn_away(stream, away);
                        }
                    }
                    Ok(Ok(None)) => {}
                    Ok(Err(error)) => {
                        self.door.metrics.sent_away(Away::ProxyHeader);
                        return tracing::debug!(%error, "a proxy's connection was not let in");
                    }
                    Err(_) => {
                        self.door.metrics.sent_away(Away::ProxyHeader);
                        return tracing::debug!("a proxy's connection said nothing");
                    }
                }
            }
            // Below TLS, so that a peer that takes nothing is noticed in the handshake, too.
            let stream = StallLimited::new(stream, self.door.options.write_timeout);
            let stream = Paced::new(stream, visitor.clone(), self.door.metrics.clone());
            match &self.handshake {
                None => self.speak_http(stream, visitor, reception).await,
                Some(handshake) => match handshake
                    .shake(ReadAhead::new(stream), &self.door.doorkeeper)
                    .await
                {
                    Ok(Some(stream)) => self.speak_http(stream, visitor, reception).await,
                    Ok(None) => {}
                    Err(error) => {
                        self.door.metrics.sent_away(Away::Handshake);
                        tracing::debug!(%error, "no TLS handshake");
                    }
                },
            }
        };
        tokio::select! {
            () = cut.cut() => {
                self.door.metrics.sent_away(Away::MadeRoom);
                tracing::debug!("a connection made room for others");
            }
            () = received => {}
        }
    }

    /// Whom the proxy names before everything else.
    async fn ask(&self, stream: &mut TcpStream) -> Result<Option<IpAddr>, NoHeader> {
        if self.door.doorkeeper.admission().proxy_header == ProxyHeader::Optional {
            let mut first = [0];
            let came = stream.peek(&mut first).await?;
            if !proxy_header::begins(&first[..came]) {
                return Ok(None);
            }
        }
        proxy_header::read(stream).await
    }

    /// HTTP over whatever lies below, until it ends or the relay does.
    async fn speak_http<S>(&self, stream: S, visitor: Arc<Visitor>, reception: Reception)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let routes = TowerToHyperService::new(warp::service(self.routes.clone()));
        let (door, through_proxy) = (self.door.clone(), reception != Reception::Direct);
        let over_tls = self.handshake.is_some();
        let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            let away = if through_proxy {
                settle(&door, &visitor, request.headers())
            } else {
                None
            };
            request.extensions_mut().insert(visitor.clone());
            let answer = away.ok_or_else(|| routes.call(request));
            async move {
                let mut response = match answer {
                    Ok(away) => away,
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
            () = self.door.closing.cancelled() => {
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
fn settle(door: &Door, visitor: &Visitor, headers: &HeaderMap) -> Option<Response> {
    if visitor.address().is_some() {
        return None;
    }
    let from = forwarded(&door.doorkeeper.admission().trusted_proxies, headers)?;
    let away = visitor.settle(from).err()?;
    door.metrics.sent_away(if away.greedy {
        Away::Address
    } else {
        Away::Newcomers
    });
    Some(turned_away(&away))
}
