//! What may change while the door is open.

use std::sync::{Arc, RwLock};

use super::{AllowedOrigins, Options, Secret};

/// A set of choices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LiveOptions {
    /// Pages that may come.
    pub allowed_origins: AllowedOrigins,
    /// Shown by who may see `/status`; `None`: nobody.
    pub status_token: Option<Secret>,
    /// Shown by who may see `/metrics`; `None`: everybody who reaches that listener.
    pub metrics_token: Option<Secret>,
}

impl LiveOptions {
    /// Nobody sees the status.
    pub fn of(options: &Options) -> Self {
        Self {
            allowed_origins: options.admission.allowed_origins.clone(),
            ..Self::default()
        }
    }
}

/// The choices in effect. Clones are handles to the same.
#[derive(Debug, Clone, Default)]
pub struct Live(Arc<RwLock<Arc<LiveOptions>>>);

impl Live {
    /// These.
    pub fn new(options: LiveOptions) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(options))))
    }

    /// For all requests from now on.
    pub fn change(&self, options: LiveOptions) {
        *self.0.write().expect("nobody panics holding it") = Arc::new(options);
    }

    /// In effect now.
    pub fn now(&self) -> Arc<LiveOptions> {
        self.0.read().expect("nobody panics holding it").clone()
    }
}
