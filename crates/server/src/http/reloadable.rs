//! Options that can be reloaded without a restart.

use std::sync::Arc;

use parking_lot::RwLock;

use super::{AllowedOrigins, BearerToken, Options};

/// The reloadable options.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReloadableOptions {
    /// Origins of web pages that may connect.
    pub allowed_origins: AllowedOrigins,
    /// The token for `/status`; without one it is disabled.
    pub status_token: Option<BearerToken>,
    /// The token for `/metrics`; without one it is open to every client of the listener.
    pub metrics_token: Option<BearerToken>,
}

impl ReloadableOptions {
    /// The options at the start: `/status` is disabled.
    pub fn new(options: &Options) -> Self {
        Self {
            allowed_origins: options.admission.allowed_origins.clone(),
            ..Self::default()
        }
    }
}

/// The options in effect. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct ReloadHandle(Arc<RwLock<Arc<ReloadableOptions>>>);

impl ReloadHandle {
    /// Creates a handle.
    pub fn new(options: ReloadableOptions) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(options))))
    }

    /// Replaces the options for all later requests.
    pub fn replace(&self, options: ReloadableOptions) {
        *self.0.write() = Arc::new(options);
    }

    /// Returns the options in effect.
    pub fn current(&self) -> Arc<ReloadableOptions> {
        self.0.read().clone()
    }
}
