//! The section `[health]`: the canary, `/status` and the status page; and the bearer tokens.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::check::Check;
use super::error::ConfigError;
use super::metrics::RawMetrics;
use super::units::{HumanDuration, OrOff};
use crate::http::{AllowedOrigins, BearerToken, ReloadableOptions};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawHealth {
    pub(super) canary_interval: OrOff<HumanDuration>,
    /// Empty: `/status` is not served.
    pub(super) status_token_file: String,
    pub(super) status_page: bool,
}

impl Default for RawHealth {
    fn default() -> Self {
        Self {
            canary_interval: OrOff(Some(HumanDuration::from_secs(3_600))),
            status_token_file: String::new(),
            status_page: true,
        }
    }
}

impl RawHealth {
    /// `None`: no canary.
    pub(super) fn canary_interval(
        &self,
        check: &Check<'_>,
    ) -> Result<Option<Duration>, ConfigError> {
        let Some(interval) = self.canary_interval.0 else {
            return Ok(None);
        };
        check.duration("health.canary_interval", interval, 60..=86_400)?;
        Ok(Some(interval.0))
    }

    /// The options that a running relay reloads.
    pub(super) fn reloadable(
        &self,
        check: &Check<'_>,
        metrics: &RawMetrics,
        allowed_origins: AllowedOrigins,
    ) -> Result<ReloadableOptions, ConfigError> {
        Ok(ReloadableOptions {
            allowed_origins,
            status_token: token(check, "health.status_token_file", &self.status_token_file)?,
            metrics_token: token(check, "metrics.token_file", &metrics.token_file)?,
        })
    }
}

fn token(check: &Check<'_>, key: &str, written: &str) -> Result<Option<BearerToken>, ConfigError> {
    if written.is_empty() {
        return Ok(None);
    }
    let path = check.path(key, written)?;
    let token = BearerToken::read(&path);
    token
        .map(Some)
        .map_err(|error| check.wrong(key, &format!("is not usable: {error}")))
}
