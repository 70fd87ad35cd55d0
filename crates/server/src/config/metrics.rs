//! The section `[metrics]`.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::check::Check;
use super::error::ConfigError;

/// Not a port of Prometheus or its exporters (9090 to 9999), nor of the relay itself.
const LISTEN: &str = "127.0.0.1:8917";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawMetrics {
    /// Empty: nowhere.
    pub(super) listen: String,
    /// Empty: none.
    pub(super) token_file: String,
    pub(super) allow_remote: bool,
}

impl Default for RawMetrics {
    fn default() -> Self {
        Self {
            listen: LISTEN.to_owned(),
            token_file: String::new(),
            allow_remote: false,
        }
    }
}

/// Where metrics are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsListen {
    /// Address and port; `None`: nowhere.
    pub address: Option<SocketAddr>,
    /// Whether the operator chose it. Then the relay does not start without it.
    pub chosen: bool,
}

impl RawMetrics {
    pub(super) fn listen(&self, check: &Check<'_>) -> Result<MetricsListen, ConfigError> {
        const KEY: &str = "metrics.listen";
        let chosen = self.listen != LISTEN;
        if self.listen.is_empty() {
            return Ok(MetricsListen {
                address: None,
                chosen,
            });
        }
        let address = check.address(KEY, &self.listen)?;
        if !address.ip().is_loopback() && self.token_file.is_empty() && !self.allow_remote {
            let text = format!(
                "is {address}, which other machines can reach; require a token (`metrics.token_file`), or set \
                 `metrics.allow_remote = true` behind a firewall"
            );
            return Err(check.wrong(KEY, &text));
        }
        Ok(MetricsListen {
            address: Some(address),
            chosen,
        })
    }
}
