//! The sockets that a relay listens on.

use tokio::net::TcpListener;

use super::tls::Tls;
use super::{Live, PublicPage};

/// Where connections come in, and whether the relay itself speaks TLS there.
pub struct Listener {
    pub(super) tcp: TcpListener,
    pub(super) tls: Option<Tls>,
    /// Beside it, for those who come without TLS.
    pub(super) plain: Option<TcpListener>,
    /// Beside both, for operators.
    pub(super) operators: Option<TcpListener>,
    /// What may change while it listens; `None`: nothing.
    pub(super) live: Option<Live>,
    /// What anybody may read; empty: nothing.
    pub(super) page: PublicPage,
}

/// Plain: for this machine, and for a proxy in front.
impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Self {
        Self {
            tcp,
            tls: None,
            plain: None,
            operators: None,
            live: None,
            page: PublicPage::default(),
        }
    }
}

impl Listener {
    /// Behind the relay's own TLS. `plain` is a second socket that sends browsers on to the first.
    pub fn with_tls(tcp: TcpListener, tls: Tls, plain: Option<TcpListener>) -> Self {
        Self {
            tls: Some(tls),
            plain,
            ..tcp.into()
        }
    }

    /// With a socket of its own for operators: metrics, health and status.
    #[must_use]
    pub fn with_operators(mut self, operators: TcpListener) -> Self {
        self.operators = Some(operators);
        self
    }

    /// With a page that anybody may read.
    #[must_use]
    pub fn with_page(mut self, page: PublicPage) -> Self {
        self.page = page;
        self
    }

    /// With what may change while it listens.
    #[must_use]
    pub fn with_live(mut self, live: Live) -> Self {
        self.live = Some(live);
        self
    }
}
