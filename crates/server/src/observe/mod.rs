//! Observability: what the relay reports about itself, and to whom.

pub mod canary;
pub mod canary_status;
mod clocks;
mod metrics;
pub mod page;
pub(crate) mod process;
mod readiness;
pub mod sla;

pub use canary::{CanaryRunner, CanaryTarget};
pub(crate) use clocks::clock_ms;
pub use clocks::{moment, wall_ms};
pub use metrics::{Metrics, RejectReason};
pub use process::ProcessStats;
pub use readiness::{NotReadyReason, NotReadyReasons, Readiness};
pub use sla::Recorder;
