//! The settings as they are written, section by section: the one source of defaults.

use serde::{Deserialize, Serialize};

use super::accounts::RawAccounts;
use super::acme::RawAcme;
use super::health::RawHealth;
use super::limits::RawLimits;
use super::log::RawLog;
use super::metrics::RawMetrics;
use super::rate_limits::RawRateLimits;
use super::server::RawServer;
use super::sla::RawSla;
use super::storage::RawStorage;
use super::tls::RawTls;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    pub(super) server: RawServer,
    pub(super) tls: RawTls,
    pub(super) acme: RawAcme,
    pub(super) storage: RawStorage,
    pub(super) accounts: RawAccounts,
    pub(super) limits: RawLimits,
    pub(super) rate_limits: RawRateLimits,
    pub(super) sla: RawSla,
    pub(super) metrics: RawMetrics,
    pub(super) health: RawHealth,
    pub(super) log: RawLog,
}

/// Every option at its default: section, key, value.
pub(super) fn defaults() -> toml::Table {
    // Strings, integers and booleans in two levels always have a TOML form.
    toml::Table::try_from(Raw::default()).unwrap_or_default()
}
