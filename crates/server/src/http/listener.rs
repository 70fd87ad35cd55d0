//! The sockets that a relay listens on.

use tokio::net::TcpListener;

use super::{ReloadHandle, StatusPage};
use crate::net::tls::Tls;

/// The public listener, its TLS and the listeners beside it.
pub struct Listener {
    pub(super) tcp: TcpListener,
    pub(super) tls: Option<Tls>,
    /// The plain listener that redirects to TLS.
    pub(super) plain: Option<TcpListener>,
    /// The metrics listener.
    pub(super) metrics_listener: Option<TcpListener>,
    /// Options that may change; `None` for fixed ones.
    pub(super) reloadable: Option<ReloadHandle>,
    /// The public status page; empty if unset.
    pub(super) page: StatusPage,
}

/// Without TLS: on loopback, or behind a proxy.
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
    /// Adds TLS. `plain` is a second socket that redirects browsers.
    pub fn with_tls(tcp: TcpListener, tls: Tls, plain: Option<TcpListener>) -> Self {
        Self {
            tls: Some(tls),
            plain,
            ..tcp.into()
        }
    }

    /// Adds a socket for metrics, health and status.
    #[must_use]
    pub fn with_metrics(mut self, metrics_listener: TcpListener) -> Self {
        self.metrics_listener = Some(metrics_listener);
        self
    }

    /// Adds a public status page.
    #[must_use]
    pub fn with_page(mut self, page: StatusPage) -> Self {
        self.page = page;
        self
    }

    /// Adds options that may change.
    #[must_use]
    pub fn with_reloadable(mut self, reloadable: ReloadHandle) -> Self {
        self.reloadable = Some(reloadable);
        self
    }
}
