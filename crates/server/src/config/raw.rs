//! The settings as they are written: section by section, nothing checked yet.
//!
//! The one source of defaults, which for limits are those of the protocol.

use serde::{Deserialize, Serialize};

use super::admission::RawAdmission;
use super::sla::RawSla;
use graceful_protocol::Limits;

/// Seconds in a day.
pub(super) const DAY_S: u32 = 24 * 60 * 60;

/// Where metrics are served when nobody chose another place: not a port of Prometheus or its exporters
/// (9090 to 9999), nor of the relay itself.
pub(super) const METRICS_LISTEN: &str = "127.0.0.1:8917";

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    pub(super) server: Server,
    pub(super) tls: RawTls,
    pub(super) acme: RawAcme,
    pub(super) storage: Storage,
    pub(super) accounts: Accounts,
    pub(super) retention: Retention,
    pub(super) limits: RawLimits,
    pub(super) admission: RawAdmission,
    pub(super) sla: RawSla,
    pub(super) metrics: RawMetrics,
    pub(super) health: RawHealth,
    pub(super) log: Log,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Server {
    /// Empty: depends on whether the relay speaks TLS itself.
    pub(super) listen: String,
    pub(super) names: Vec<String>,
    pub(super) trusted_proxies: Vec<String>,
    pub(super) proxy_protocol: String,
    pub(super) allowed_origins: Vec<String>,
    pub(super) drain_time_max_s: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTls {
    pub(super) mode: String,
    pub(super) certificate: String,
    pub(super) key: String,
    /// Empty: no second listener.
    pub(super) http_listen: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAcme {
    pub(super) agree_to_terms: bool,
    /// Empty: those of the server.
    pub(super) names: Vec<String>,
    pub(super) contact: String,
    pub(super) directory: String,
    /// Empty: those that the system trusts.
    pub(super) authority: String,
    pub(super) self_check: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Storage {
    /// Empty: a folder of its own, which depends on who runs it.
    pub(super) folder: String,
    pub(super) cache_mib: u32,
    pub(super) journal_mib: u32,
    pub(super) free_bytes_min: u64,
    pub(super) ballast_mib: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Accounts {
    pub(super) registration: String,
    pub(super) devices_max: u32,
    pub(super) bytes_max: u64,
    pub(super) envelopes_max: u64,
    pub(super) membership_entries_max: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Retention {
    pub(super) days: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLimits {
    pub(super) connections_max: u32,
    pub(super) frame_bytes_max: u64,
    pub(super) frames_mib: u32,
    pub(super) envelope_bytes_max: u64,
    pub(super) push_envelopes_max: u32,
    pub(super) in_flight_frames_max: u32,
    pub(super) window_bytes: u64,
    pub(super) rendezvous_bytes_max: u32,
    pub(super) rendezvous_s_max: u32,
    pub(super) ping_interval_s: u32,
    pub(super) idle_timeout_s: u32,
    pub(super) handshake_timeout_s: u32,
    pub(super) head_timeout_s: u32,
    pub(super) body_timeout_s: u32,
    pub(super) authentication_timeout_s: u32,
    pub(super) write_timeout_s: u32,
    pub(super) close_timeout_s: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawMetrics {
    /// Empty: nowhere.
    pub(super) listen: String,
    /// Empty: none.
    pub(super) token_file: String,
    pub(super) allow_remote: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawHealth {
    /// 0: never.
    pub(super) canary_interval_s: u32,
    /// Empty: nobody sees `/status`.
    pub(super) status_token_file: String,
    pub(super) status_page: bool,
    /// Empty: the first of `server.names`.
    pub(super) region: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) level: String,
    pub(super) to: String,
    pub(super) format: String,
    pub(super) folder: String,
    pub(super) keep_days: u32,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: String::new(),
            names: Vec::new(),
            trusted_proxies: Vec::new(),
            proxy_protocol: "off".to_owned(),
            allowed_origins: Vec::new(),
            drain_time_max_s: 30,
        }
    }
}

impl Default for RawAcme {
    fn default() -> Self {
        Self {
            agree_to_terms: false,
            names: Vec::new(),
            contact: String::new(),
            directory: "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
            authority: String::new(),
            self_check: true,
        }
    }
}

impl Default for RawTls {
    fn default() -> Self {
        let none = String::new;
        Self {
            mode: "off".to_owned(),
            certificate: none(),
            key: none(),
            http_listen: none(),
        }
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            folder: String::new(),
            cache_mib: 64,
            journal_mib: 16,
            free_bytes_min: 256 << 20,
            ballast_mib: 16,
        }
    }
}

impl Default for Accounts {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            registration: "invite".to_owned(),
            devices_max: limits.account_devices_max,
            bytes_max: limits.account_bytes_max,
            envelopes_max: limits.account_envelopes_max,
            membership_entries_max: limits.membership_entries_max,
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            days: Limits::default().retention_s / DAY_S,
        }
    }
}

impl Default for RawLimits {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            connections_max: 2_000,
            frame_bytes_max: limits.frame_bytes_max,
            frames_mib: 128,
            envelope_bytes_max: limits.envelope_bytes_max,
            push_envelopes_max: limits.push_envelopes_max,
            in_flight_frames_max: limits.in_flight_frames_max,
            window_bytes: limits.window_bytes,
            rendezvous_bytes_max: limits.rendezvous_bytes_max,
            rendezvous_s_max: limits.rendezvous_s_max,
            ping_interval_s: limits.ping_interval_s,
            idle_timeout_s: limits.idle_timeout_s,
            handshake_timeout_s: 10,
            head_timeout_s: 10,
            body_timeout_s: 60,
            authentication_timeout_s: 10,
            write_timeout_s: 30,
            close_timeout_s: 5,
        }
    }
}

impl Default for RawMetrics {
    fn default() -> Self {
        Self {
            listen: METRICS_LISTEN.to_owned(),
            token_file: String::new(),
            allow_remote: false,
        }
    }
}

impl Default for RawHealth {
    fn default() -> Self {
        Self {
            canary_interval_s: 3_600,
            status_token_file: String::new(),
            status_page: true,
            region: String::new(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        let (to, format) = ("stderr".to_owned(), "text".to_owned());
        Self {
            level: "info".to_owned(),
            to,
            format,
            folder: String::new(),
            keep_days: 14,
        }
    }
}

/// Every option there is, at its default: section, key, value.
pub(super) fn defaults() -> toml::Table {
    // Strings, integers and booleans in two levels always have a TOML form.
    toml::Table::try_from(Raw::default()).unwrap_or_default()
}
