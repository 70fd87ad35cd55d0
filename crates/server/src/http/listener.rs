//! The sockets that a relay listens on.

use tokio::net::TcpListener;

use super::{ReloadHandle, StatusPage};
use crate::net::tls::Tls;

/// Where connections come in, and whether the relay itself speaks TLS there.
pub struct Listener {
    pub(super) tcp: TcpListener,
    pub(super) tls: Option<Tls>,
    /// Beside it, for those who come without TLS.
    pub(super) plain: Option<TcpListener>,
    /// Beside both, for metrics_listener.
    pub(super) metrics_listener: Option<TcpListener>,
    /// What may change while it listens; `None`: nothing.
    pub(super) reloadable: Option<ReloadHandle>,
    /// What anybody may read; empty: nothing.
    pub(super) page: StatusPage,
}

/// Plain: for this machine, and for a proxy in front.
impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Self {
        Self {
            tcp,
            tls: None,
            plain: None,
            metrics_listener: None,
            reloadable: None,
            page: StatusPage::default(),
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

    /// With a socket of its own for metrics_listener: metrics, health and status.
    #[must_use]
    pub fn with_metrics(mut self, metrics_listener: TcpListener) -> Self {
        self.metrics_listener = Some(metrics_listener);
        self
    }

    /// With a page that anybody may read.
    #[must_use]
    pub fn with_page(mut self, page: StatusPage) -> Self {
        self.page = page;
        self
    }

    /// With what may change while it listens.
    #[must_use]
    pub fn with_reloadable(mut self, reloadable: ReloadHandle) -> Self {
        self.reloadable = Some(reloadable);
        self
    }
}
