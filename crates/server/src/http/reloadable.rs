//! What may change while the door is open.

use std::sync::Arc;

use parking_lot::RwLock;

use super::{AllowedOrigins, BearerToken, Options};

/// A set of choices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReloadableOptions {
    /// Pages that may come.
    pub allowed_origins: AllowedOrigins,
    /// Shown by who may see `/status`; `None`: nobody.
    pub status_token: Option<BearerToken>,
    /// Shown by who may see `/metrics`; `None`: everybody who reaches that listener.
    pub metrics_token: Option<BearerToken>,
}

impl ReloadableOptions {
    /// Nobody sees the status.
    pub fn new(options: &Options) -> Self {
        Self {
            allowed_origins: options.admission.allowed_origins.clone(),
            ..Self::default()
        }
    }
}

/// The choices in effect. Clones are handles to the same.
#[derive(Debug, Clone, Default)]
pub struct ReloadHandle(Arc<RwLock<Arc<ReloadableOptions>>>);

impl ReloadHandle {
    /// These.
    pub fn new(options: ReloadableOptions) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(options))))
    }

    /// For all requests from now on.
    pub fn replace(&self, options: ReloadableOptions) {
        *self.0.write() = Arc::new(options);
    }

    /// In effect now.
    pub fn current(&self) -> Arc<ReloadableOptions> {
        self.0.read().clone()
    }
}
