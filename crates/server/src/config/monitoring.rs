//! What operators' programs may ask, and where.

use std::net::SocketAddr;
use std::time::Duration;

use super::error::ConfigError;
use super::raw::{Raw, RawMetrics};
use super::validate::Check;
use crate::http::{Admission, BearerToken, ReloadableOptions};

/// Characters of a region's name.
const TEXT_MAX: usize = 60;

/// Where metrics are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsListen {
    /// Address and port; `None`: nowhere.
    pub address: Option<SocketAddr>,
    /// Whether somebody chose it: then the relay does not start where it cannot be had.
    pub chosen: bool,
}

impl Check<'_> {
    pub(super) fn metrics(&self, raw: &Raw) -> Result<MetricsListen, ConfigError> {
        const KEY: &str = "metrics.listen";
        let chosen = raw.metrics.listen != RawMetrics::default().listen;
        if raw.metrics.listen.is_empty() {
            return Ok(MetricsListen {
                address: None,
                chosen,
            });
        }
        let address = self.address(KEY, &raw.metrics.listen)?;
        let open = !address.ip().is_loopback();
        if open && raw.metrics.token_file.is_empty() && !raw.metrics.allow_remote {
            let text = format!(
                "is {address}, which other machines can reach; give them a token (`metrics.token_file`), or \
                 say with `metrics.allow_remote = true` that only those reach it who may"
            );
            return Err(self.wrong(KEY, &text));
        }
        Ok(MetricsListen {
            address: Some(address),
            chosen,
        })
    }

    pub(super) fn canary_interval(&self, raw: &Raw) -> Result<Option<Duration>, ConfigError> {
        let seconds = raw.health.canary_interval_s;
        if seconds == 0 {
            return Ok(None);
        }
        self.range("health.canary_interval_s", seconds, 60..=86_400)?;
        Ok(Some(Duration::from_secs(seconds.into())))
    }

    /// What the page calls this relay.
    pub(super) fn status_page(
        &self,
        raw: &Raw,
        names: &[String],
    ) -> Result<Option<String>, ConfigError> {
        let named = raw.health.region.trim();
        if named.chars().count() > TEXT_MAX {
            let text = format!("is longer than {TEXT_MAX} characters");
            return Err(self.wrong("health.region", &text));
        }
        let named = Some(named).filter(|named| !named.is_empty());
        let name = named
            .or(names.first().map(String::as_str))
            .unwrap_or("This relay");
        Ok(raw.health.status_page.then(|| name.to_owned()))
    }

    pub(super) fn live(
        &self,
        raw: &Raw,
        admission: &Admission,
    ) -> Result<ReloadableOptions, ConfigError> {
        Ok(ReloadableOptions {
            allowed_origins: admission.allowed_origins.clone(),
            status_token: self.secret("health.status_token_file", &raw.health.status_token_file)?,
            metrics_token: self.secret("metrics.token_file", &raw.metrics.token_file)?,
        })
    }

    fn secret(&self, key: &str, written: &str) -> Result<Option<BearerToken>, ConfigError> {
        if written.is_empty() {
            return Ok(None);
        }
        let path = std::path::PathBuf::from(written);
        if !path.is_absolute() {
            return Err(self.wrong(key, &format!("is {written:?}; it must be a whole path")));
        }
        BearerToken::read(&path)
            .map(Some)
            .map_err(|error| self.wrong(key, &format!("does not serve: {error}")))
    }
}
