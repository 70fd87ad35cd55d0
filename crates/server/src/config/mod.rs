//! The relay's configuration: defaults, a file, the environment, then flags.
//!
//! A [`Config`] is validated. Each section owns its written form, its defaults and its validation. This
//! module opens nothing but the files that it reads.

mod accounts;
mod acme;
mod check;
mod error;
mod health;
mod limits;
mod log;
mod metrics;
mod nearest;
mod origin;
mod paths;
mod rate_limits;
mod raw;
mod reference;
mod renamed;
mod server;
mod sla;
mod sources;
mod storage;
mod tls;
pub mod units;
mod validate;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::net::tls::TlsSetup;
use crate::relay::Registration;
use graceful_protocol::Limits;

pub use error::ConfigErrors;
pub use log::{Log, LogLevel, LogOutput};
pub use metrics::MetricsListen;
#[cfg(windows)]
pub use paths::program_data;
pub use paths::{ProcessEnv, config_file};
pub use reference::{Described, reference};
pub use sources::{Flags, Sources, load};
pub use tls::TlsMode;

/// Prefix of the environment variable of an option: then section, `__`, key.
pub const VARIABLE_PREFIX: &str = "GRACEFUL_RELAY_";

/// The path of the configuration file, as `--config`.
pub const FILE_VARIABLE: &str = "GRACEFUL_RELAY_CONFIG";

/// The profile directory of `graceful-relay client`; the relay ignores it.
pub const PROFILE_VARIABLE: &str = "GRACEFUL_RELAY_PROFILE";

/// Options that `reload` applies to a running relay.
const RELOADABLE: &[&str] = &[
    "server.allowed_origins",
    "metrics.token_file",
    "health.status_token_file",
    "log.level",
];

/// The validated configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// The domains that devices connect to, in lower case. Empty: loopback names and addresses only.
    pub domains: Vec<String>,
    /// Where TLS ends, and with which certificate.
    pub tls_mode: TlsMode,
    /// The source of the relay's own certificate, if it has one.
    pub tls: Option<TlsSetup>,
    /// A plain listener that redirects browsers to the first.
    pub http_listen: Option<SocketAddr>,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The store's page cache.
    pub cache_bytes: usize,
    /// The size of each of the two journal files.
    pub journal_bytes: u64,
    /// With less free disk space, writes are refused.
    pub min_free_bytes: u64,
    /// The size of the ballast file.
    pub ballast_bytes: u64,
    /// Who may create an account.
    pub registration: Registration,
    /// Limits in the greeting.
    pub limits: Limits,
    /// Concurrent sessions.
    pub connections_max: usize,
    /// Memory for large frames in transit, of all connections.
    pub frame_buffer_bytes: u64,
    /// For a TLS handshake.
    pub handshake_timeout: Duration,
    /// For a request's header.
    pub header_timeout: Duration,
    /// For a request's body.
    pub body_timeout: Duration,
    /// For a device to authenticate.
    pub auth_timeout: Duration,
    /// Without any progress of a write.
    pub write_timeout: Duration,
    /// For a peer to answer a close frame.
    pub close_timeout: Duration,
    /// For sessions to end when the relay stops.
    pub shutdown_timeout: Duration,
    /// Limits on connections and frames, proxies, origins.
    pub admission: crate::http::Admission,
    /// Limits on accounts, registration and pairing.
    pub rate_limits: crate::relay::RateLimits,
    /// Uptime target and credits.
    pub sla_terms: graceful_rules::sla::SlaTerms,
    /// The metrics listener.
    pub metrics: MetricsListen,
    /// Between two canary runs; `None`: no canary.
    pub canary_interval: Option<Duration>,
    /// The name on the status page; `None`: no page.
    pub status_page: Option<String>,
    /// Options that `reload` applies.
    pub reloadable: crate::http::ReloadableOptions,
    /// Log level, destination and format.
    pub log: Log,
    /// The configuration files.
    pub files: Files,
    origins: origin::Origins,
    raw: raw::Raw,
}

/// The configuration files that were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// `config.toml`, or what `--config` names.
    pub main: Option<PathBuf>,
    /// Those in `config.d`, in order.
    pub parts: Vec<PathBuf>,
}

impl Config {
    /// A warning that is no error.
    pub fn warning(&self) -> Option<&'static str> {
        (!self.admission.by_address).then_some(
            "every connection has the proxy's address, so limits per IP address have no effect; list the proxy in \
             server.trusted_proxies",
        )
    }

    /// Every option in effect, as a configuration file.
    pub fn to_toml(&self) -> String {
        // Strings, integers and booleans in two levels always have a TOML form.
        toml::to_string(&self.raw).unwrap_or_default()
    }

    /// Every option: its name, its value in TOML, and its origin.
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

    /// Options that differ from those of a running relay and need a restart.
    pub fn needs_restart(&self, running: &Self) -> Vec<String> {
        let table = |config: &Self| toml::Table::try_from(&config.raw).unwrap_or_default();
        let (new, old) = (table(self), table(running));
        let mut differing = Vec::new();
        for (section, options) in &new {
            for (key, value) in options.as_table().into_iter().flatten() {
                let name = format!("{section}.{key}");
                let before = old.get(section).and_then(|options| options.get(key));
                if before != Some(value) && !RELOADABLE.contains(&name.as_str()) {
                    differing.push(name);
                }
            }
        }
        differing
    }

    /// Options of the HTTP server.
    pub fn http_options(&self) -> crate::http::Options {
        crate::http::Options {
            connections_max: self.connections_max,
            frame_bytes_max: usize::try_from(self.limits.frame_bytes_max).unwrap_or(usize::MAX),
            frames_bytes: self.frame_buffer_bytes,
            handshake_timeout: self.handshake_timeout,
            head_timeout: self.header_timeout,
            body_timeout: self.body_timeout,
            write_timeout: self.write_timeout,
            close_timeout: self.close_timeout,
            stop_timeout: self.shutdown_timeout,
            admission: self.admission.clone(),
        }
    }

    /// Options of the relay.
    pub fn relay_options(&self) -> crate::relay::RelayOptions {
        crate::relay::RelayOptions {
            server_names: crate::relay::ServerNames::new(self.domains.iter().cloned()),
            auth_timeout: self.auth_timeout,
            rate_limits: self.rate_limits.clone(),
        }
    }

    /// Options of the store.
    pub fn store_options(&self) -> graceful_store::Options {
        graceful_store::Options {
            limits: self.limits.clone(),
            registration: self.registration,
            cache_bytes: self.cache_bytes,
            free_bytes_min: self.min_free_bytes,
            ballast_bytes: self.ballast_bytes,
            journal_bytes: self.journal_bytes,
            ..graceful_store::Options::default()
        }
    }
}

#[cfg(test)]
mod tests;
