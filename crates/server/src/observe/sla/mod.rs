//! The record of uptime: what it was like, minute by minute in memory, hour by hour in a file of the data
//! folder, day by day in the end; and the report that is made of it each month.
//!
//! In a file of its own and not in the store, so that putting back a backup does not put back the record,
//! and so that a store which fails can still be written about.

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

/// The folder in the data folder.
pub const FOLDER: &str = "sla";
