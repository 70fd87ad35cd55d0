//! What an operator may choose: defaults, then a file, then the environment, then flags.
//!
//! A [`Config`] has been checked and cannot be wrong. This room starts nothing and opens nothing
//! but the file it is told to read.

mod acme;
mod admission;
mod error;
mod folder;
mod log;
mod monitoring;
mod nearest;
mod origin;
mod raw;
mod reference;
mod sla;
mod sources;
mod tls;
mod validate;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::http::tls::TlsSetup;
use crate::relay::Registration;
use graceful_protocol::Limits;

pub use error::ConfigErrors;
#[cfg(windows)]
pub use folder::program_data;
pub use folder::{Surroundings, settings_file};
pub use log::{Log, LogTo};
pub use monitoring::MetricsListen;
pub use reference::{Described, reference};
pub use sources::{Flags, Sources, load};
pub use tls::TlsMode;

/// Begins the name of each environment variable that is an option: then section, `__`, key.
pub const VARIABLE_PREFIX: &str = "GRACEFUL_RELAY_";

/// Names the file, as `--config` does.
pub const FILE_VARIABLE: &str = "GRACEFUL_RELAY_CONFIG";

/// Names a device's folder for `graceful-relay client`; the relay passes it over.
pub const PROFILE_VARIABLE: &str = "GRACEFUL_RELAY_PROFILE";

/// Options that a running relay takes over when the settings are read again.
const LIVE: &[&str] = &[
    "server.allowed_origins",
    "metrics.token_file",
    "health.status_token_file",
    "log.level",
];

/// Everything an operator chose, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// The names devices dial, in lower case. Empty: loopback names and addresses only.
    pub names: Vec<String>,
    /// Who speaks TLS, and with which certificate.
    pub tls_mode: TlsMode,
    /// Where the relay's own certificate comes from, if it has one.
    pub tls: Option<TlsSetup>,
    /// A second address, plain, that sends browsers on to the first.
    pub http_listen: Option<SocketAddr>,
    /// Where everything is kept.
    pub folder: PathBuf,
    /// Memory that the store may use to cache pages.
    pub cache_bytes: usize,
    /// Bytes of each of the journal's two files.
    pub journal_bytes: u64,
    /// Who may found an account.
    pub registration: Registration,
    /// What devices are held to.
    pub limits: Limits,
    /// Conversations at a time.
    pub connections_max: usize,
    /// Bytes of memory for large messages on their way, of all connections together.
    pub frames_bytes: u64,
    /// For a TLS handshake to be done.
    pub handshake_timeout: Duration,
    /// For a request's head to arrive.
    pub head_timeout: Duration,
    /// For the body of an exchange to arrive.
    pub body_timeout: Duration,
    /// How long a peer may take nothing of what is sent to it.
    pub write_timeout: Duration,
    /// For a peer to answer a close frame.
    pub close_timeout: Duration,
    /// How long a device may take to say who it is.
    pub authentication_timeout: Duration,
    /// For conversations to end when the relay stops.
    pub stop_timeout: Duration,
    /// Who is let in.
    pub admission: crate::http::Admission,
    /// What one account and one address may take.
    pub rate_limits: crate::relay::RateLimits,
    /// While the disk has less than this free, in bytes, nothing new is kept.
    pub free_bytes_min: u64,
    /// Bytes put by for a full disk.
    pub ballast_bytes: u64,
    /// What was agreed about uptime.
    pub sla_terms: graceful_rules::sla::SlaTerms,
    /// Where operators' programs ask, if anywhere.
    pub metrics: MetricsListen,
    /// How long between trials of itself; `None`: there are none.
    pub canary_interval: Option<Duration>,
    /// What the page for everybody calls this relay; `None`: there is no page.
    pub status_page: Option<String>,
    /// What may change while the relay runs.
    pub reloadable: crate::http::ReloadableOptions,
    /// What is logged.
    pub log_level: LogLevel,
    /// And where to.
    pub log: Log,
    /// The files that the settings came from.
    pub files: Files,
    origins: origin::Origins,
    raw: raw::Raw,
}

/// Files that were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// The one file of settings; `None`: there is none.
    pub main: Option<PathBuf>,
    /// Those beside it, in the order in which they were read.
    pub parts: Vec<PathBuf>,
}

/// How much is logged. Each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What stopped the relay.
    Error,
    /// What an operator should look at.
    Warn,
    /// Starting, stopping, sweeping.
    Info,
    /// Each connection.
    Debug,
    /// Each frame's kind.
    Trace,
}

impl LogLevel {
    /// As it is written in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Config {
    /// The effective settings, every one of them, as a file that would bring them about.
    pub fn to_toml(&self) -> String {
        // Strings, integers and booleans in two levels always have a TOML form.
        toml::to_string(&self.raw).unwrap_or_default()
    }

    /// Every option: its name, its value as it is written, and where that came from.
    pub fn effective(&self) -> Vec<(String, String, String)> {
        let table = toml::Table::try_from(&self.raw).unwrap_or_default();
        let options = table.iter().flat_map(|(section, options)| {
            let options = options.as_table().into_iter().flatten();
            options.map(move |(key, value)| (format!("{section}.{key}"), value.to_string()))
        });
        options
            .map(|(name, value)| (name.clone(), value, self.origins.of(&name).to_string()))
            .collect()
    }

    /// Options that differ from those of a relay that runs, and that it cannot take over without a restart.
    pub fn needs_restart(&self, running: &Self) -> Vec<String> {
        let table = |config: &Self| toml::Table::try_from(&config.raw).unwrap_or_default();
        let (new, old) = (table(self), table(running));
        let mut differing = Vec::new();
        for (section, options) in &new {
            for (key, value) in options.as_table().into_iter().flatten() {
                let name = format!("{section}.{key}");
                let before = old.get(section).and_then(|options| options.get(key));
                if before != Some(value) && !LIVE.contains(&name.as_str()) {
                    differing.push(name);
                }
            }
        }
        differing
    }

    /// How the door is opened.
    pub fn http_options(&self) -> crate::http::Options {
        crate::http::Options {
            connections_max: self.connections_max,
            frame_bytes_max: usize::try_from(self.limits.frame_bytes_max).unwrap_or(usize::MAX),
            frames_bytes: self.frames_bytes,
            handshake_timeout: self.handshake_timeout,
            head_timeout: self.head_timeout,
            body_timeout: self.body_timeout,
            write_timeout: self.write_timeout,
            close_timeout: self.close_timeout,
            stop_timeout: self.stop_timeout,
            admission: self.admission.clone(),
        }
    }

    /// How the relay is started.
    pub fn relay_options(&self) -> crate::relay::RelayOptions {
        crate::relay::RelayOptions {
            server_names: crate::relay::ServerNames::new(self.names.iter().cloned()),
            auth_timeout: self.authentication_timeout,
            rate_limits: self.rate_limits.clone(),
        }
    }

    /// How its store is opened.
    pub fn store_options(&self) -> graceful_store::Options {
        graceful_store::Options {
            limits: self.limits.clone(),
            registration: self.registration,
            cache_bytes: self.cache_bytes,
            free_bytes_min: self.free_bytes_min,
            ballast_bytes: self.ballast_bytes,
            journal_bytes: self.journal_bytes,
            ..graceful_store::Options::default()
        }
    }
}

#[cfg(test)]
mod tests;
