//! Observability: what the relay reports about itself.

mod readiness;

pub use readiness::{NotReadyReason, NotReadyReasons, Readiness};
