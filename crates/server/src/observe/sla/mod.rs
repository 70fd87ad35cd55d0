//! The uptime log and the monthly reports. Uptime is sampled each minute, written each hour and
//! compacted to days.
//!
//! The log is a file of its own, not in the store: restoring a backup must not restore it, and it
//! records a failure of the store.

mod html;
mod month;
mod monthly;
mod plot;
mod recorder;
mod text;
mod uptime_log;

pub use month::{DaySummary, IncidentSummary, Month, Percentiles, Report};
pub use recorder::{Jump, Recorder};
pub use uptime_log::{UptimeLog, UptimeLogError};

pub(super) use html::escaped;
pub(super) use month::{date_of, happened, percentiles, uptime_percent, written};
pub(super) use text::lasted;

/// The directory in the data directory.
pub const FOLDER: &str = "sla";
