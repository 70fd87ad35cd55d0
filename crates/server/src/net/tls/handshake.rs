//! The TLS handshake, within a timeout.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Tls;
use super::cert_resolver::CertResolver;
use super::provider::provider;
use crate::net::admission::AdmissionControl;

/// The only application protocol. HTTP/2 carries WebSockets in another way.
const HTTP: &[u8] = b"http/1.1";

/// The protocol of the tls-alpn-01 challenge (RFC 8737), which ends after the handshake.
const ACME: &[u8] = b"acme-tls/1";

/// TLS 1.3 without resumption: each connection sees the current certificate, and no state outlives
/// a connection.
pub(super) fn server_config(
    resolver: Arc<CertResolver>,
    answers_acme: bool,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![HTTP.to_vec()];
    if answers_acme {
        config.alpn_protocols.push(ACME.to_vec());
    }
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// An encrypted connection.
pub(crate) type Secured<S> = TlsStream<S>;

/// Accepts TLS connections.
#[derive(Clone)]
pub(crate) struct Handshake {
    acceptor: TlsAcceptor,
    time_max: Duration,
}

impl Handshake {
    pub(crate) fn new(tls: &Tls, time_max: Duration) -> Self {
        Self {
            acceptor: TlsAcceptor::from(tls.inner.config.clone()),
            time_max,
        }
    }

    /// Accepts a connection, or returns why not: most failures are port scans. The wait for a
    /// permit counts toward the timeout. `None` after an ACME challenge.
    pub(crate) async fn accept<S>(
        &self,
        stream: S,
        admission: &AdmissionControl,
    ) -> io::Result<Option<Secured<S>>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let shaking = async {
            let _turn = admission.handshake().await;
            self.acceptor.accept(stream).await
        };
        let shaken = tokio::time::timeout(self.time_max, shaking).await;
        let mut stream = shaken.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        if stream.get_ref().1.alpn_protocol() == Some(ACME) {
            stream.shutdown().await?;
            return Ok(None);
        }
        Ok(Some(stream))
    }
}
