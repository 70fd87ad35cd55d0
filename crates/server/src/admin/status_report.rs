//! How a relay is doing, all of it: what `status` shows, and what is asked by programs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::net::tls::TlsStatus;

use super::last_backup::{Backup, last_backup};
use super::warnings::{Warning, warnings};
use crate::observe::process;

/// Seconds of running before what was written is told as so much a day.
const RATE_AFTER_S: u64 = 600;

/// What the process knows of itself and its env.
#[derive(Debug, Clone)]
pub struct ServerInfo {
    /// Where everything is kept.
    pub folder: PathBuf,
    /// Address and port.
    pub listening: String,
    /// What devices dial.
    pub url: String,
    /// Conversations at a time.
    pub connections_max: u64,
}

/// A picture of one moment. What a relay does not know is not there; what one of another version does not
/// say is taken as unknown.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusReport {
    /// `ready`, or the code of the most severe reason why it is not.
    pub state: String,
    /// The codes of all reasons why it is not ready, the most severe first.
    pub not_ready_reasons: Vec<String>,
    /// The same for people.
    pub not_ready_messages: Vec<String>,
    /// Of the running program.
    pub version: String,
    /// Which relay this is, as it tells devices.
    pub relay_id: Option<String>,
    /// Its process.
    pub process_id: u32,
    /// How long it has been running.
    pub uptime_s: u64,
    /// Address and port.
    pub listening: Option<String>,
    /// What devices dial.
    pub url: Option<String>,
    /// Conversations open now.
    pub connections: u64,
    /// And at a time.
    pub connections_max: Option<u64>,
    /// Files that the process may have open.
    pub open_files_max: Option<u64>,
    /// Accounts that exist.
    pub accounts: u64,
    /// Envelopes kept.
    pub envelopes: u64,
    /// How long ago the oldest of them came, in running time.
    pub oldest_envelope_s: Option<u64>,
    /// After which envelopes expire.
    pub retention_s: Option<u64>,
    /// Bytes of all envelopes, as counted against quotas.
    pub stored_bytes: u64,
    /// Bytes of the store's file on the disk.
    pub file_bytes: u64,
    /// Bytes free on the disk.
    pub free_bytes: Option<u64>,
    /// With fewer free, nothing new is kept.
    pub free_bytes_min: u64,
    /// Bytes that the process has written to disks.
    pub written_bytes: Option<u64>,
    /// The same as so much a day, once it has run for ten minutes.
    pub written_bytes_per_day: Option<u64>,
    /// How its own TLS stands, if it has any.
    #[serde(flatten)]
    pub tls: Option<TlsStatus>,
    /// The last backup.
    pub last_backup: Option<Backup>,
    /// How long ago that was.
    pub last_backup_s: Option<i64>,
    /// How far the wall clock jumped in the last day, in seconds; back where it is negative.
    pub clock_jumped_s: Option<i64>,
    /// Now, in seconds since 1970, as the relay's machine believes.
    pub clock_s: i64,
    /// What to look at, and what to do.
    pub warnings: Vec<Warning>,
}

impl StatusReport {
    /// Adds what the process knows of itself.
    pub(super) fn add_process(&mut self) {
        self.version = env!("CARGO_PKG_VERSION").to_owned();
        self.process_id = std::process::id();
        self.open_files_max = process::open_files_max();
        self.written_bytes = process::written_bytes();
        let per_day =
            |written: u64| u128::from(written) * 86_400 / u128::from(self.uptime_s.max(1));
        let rate = self
            .written_bytes
            .filter(|_| self.uptime_s >= RATE_AFTER_S)
            .map(per_day);
        self.written_bytes_per_day = rate.map(|rate| u64::try_from(rate).unwrap_or(u64::MAX));
        self.clock_s = crate::observe::wall_ms() / 1_000;
    }

    /// Adds what is told in the data folder.
    pub(super) fn add_server_info(&mut self, about: &ServerInfo) {
        self.listening = Some(about.listening.clone());
        self.url = Some(about.url.clone());
        self.connections_max = Some(about.connections_max);
        self.last_backup = last_backup(&about.folder);
        let at_s = self.last_backup.as_ref().and_then(Backup::at_s);
        self.last_backup_s = at_s.map(|at_s| self.clock_s - at_s);
    }

    /// Adds what to make of it all.
    pub(super) fn add_warnings(&mut self) {
        self.warnings = warnings(self);
    }
}
