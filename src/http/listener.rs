//! The sockets that a relay listens on.

use tokio::net::TcpListener;

use super::tls::Tls;

/// Where connections come in, and whether the relay itself speaks TLS there.
pub struct Listener {
    pub(super) tcp: TcpListener,
    pub(super) tls: Option<Tls>,
    /// Beside it, for those who come without TLS.
    pub(super) plain: Option<TcpListener>,
}

/// Plain: for this machine, and for a proxy in front.
impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Self {
        Self { tcp, tls: None, plain: None }
    }
}

impl Listener {
    /// Behind the relay's own TLS. `plain` is a second socket that sends browsers on to the first.
    pub fn with_tls(tcp: TcpListener, tls: Tls, plain: Option<TcpListener>) -> Self {
        Self { tcp, tls: Some(tls), plain }
    }
}
