//! The status report of `status` and `healthcheck`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::net::tls::TlsStatus;

use super::last_backup::{Backup, last_backup};
use super::warnings::{Warning, warnings};
use crate::observe::process;

/// The uptime after which written bytes are extrapolated to a day, in seconds.
const RATE_AFTER_S: u64 = 600;

/// The environment of the relay.
#[derive(Debug, Clone)]
pub struct ServerInfo {
    /// The data directory.
    pub folder: PathBuf,
    /// Address and port.
    pub listening: String,
    /// The URL that devices dial.
    pub url: String,
    /// Concurrent sessions.
    pub connections_max: u64,
}

/// The state at one time. Unknown values are absent; fields that another version does not send have
/// defaults.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusReport {
    /// `ready`, or the code of the most severe reason why it is not.
    pub state: String,
    /// The codes of all reasons why it is not ready, the most severe first.
    pub not_ready_reasons: Vec<String>,
    /// The same for people.
    pub not_ready_messages: Vec<String>,
    /// The version of the running program.
    pub version: String,
    /// The id that devices see.
    pub relay_id: Option<String>,
    /// The process id.
    pub process_id: u32,
    /// The time since the start.
    pub uptime_s: u64,
    /// Address and port.
    pub listening: Option<String>,
    /// The URL that devices dial.
    pub url: Option<String>,
    /// Open sessions.
    pub connections: u64,
    /// The limit of open sessions.
    pub connections_max: Option<u64>,
    /// The limit of open file descriptors.
    pub open_files_max: Option<u64>,
    /// Accounts.
    pub accounts: u64,
    /// Stored envelopes.
    pub envelopes: u64,
    /// The age of the oldest envelope in relay time.
    pub oldest_envelope_s: Option<u64>,
    /// The age at which envelopes expire.
    pub retention_s: Option<u64>,
    /// Bytes of all envelopes, as counted against quotas.
    pub stored_bytes: u64,
    /// The size of the store file.
    pub file_bytes: u64,
    /// Free disk space.
    pub free_bytes: Option<u64>,
    /// New envelopes are rejected below this.
    pub free_bytes_min: u64,
    /// Bytes written to disks by the process.
    pub written_bytes: Option<u64>,
    /// The same per day, after ten minutes of uptime.
    pub written_bytes_per_day: Option<u64>,
    /// The status of the relay's own TLS.
    #[serde(flatten)]
    pub tls: Option<TlsStatus>,
    /// The last backup.
    pub last_backup: Option<Backup>,
    /// Its age in seconds.
    pub last_backup_s: Option<i64>,
    /// The jump of the wall clock within the last day in seconds; negative for backward.
    pub clock_jumped_s: Option<i64>,
    /// The wall clock of the relay in seconds since 1970.
    pub clock_s: i64,
    /// Warnings, each with the next step.
    pub warnings: Vec<Warning>,
}

impl StatusReport {
    /// Adds the figures of the process.
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

    /// Adds the environment and the last backup.
    pub(super) fn add_server_info(&mut self, about: &ServerInfo) {
        self.listening = Some(about.listening.clone());
        self.url = Some(about.url.clone());
        self.connections_max = Some(about.connections_max);
        self.last_backup = last_backup(&about.folder);
        let at_s = self.last_backup.as_ref().and_then(Backup::at_s);
        self.last_backup_s = at_s.map(|at_s| self.clock_s - at_s);
    }

    /// Adds the warnings.
    pub(super) fn add_warnings(&mut self) {
        self.warnings = warnings(self);
    }
}
