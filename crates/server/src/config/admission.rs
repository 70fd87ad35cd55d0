//! The settings of who is let in, and how much one address or account may take.

use serde::{Deserialize, Serialize};

use super::error::ConfigError;
use super::raw::Raw;
use super::validate::Check;
use super::{Config, TlsMode};
use crate::http::{Admission, AllowedOrigins, Network, ProxyHeader};
use crate::relay::RateLimits;
use graceful_rules::admission::ConnectionLimits;
use graceful_rules::rate::RateLimit;

/// Newcomers that there is room for on the smallest relay: a crowd is no crowd below this.
const NEWCOMERS_MIN: usize = 64;

const MIB: u64 = 1024 * 1024;

/// The section as it is written. A name ends with its unit; of rates, 0 is no limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAdmission {
    pub(super) newcomers_percent: u32,
    pub(super) handshakes_max: u32,
    pub(super) address_connections_max: u32,
    pub(super) address_newcomers_max: u32,
    pub(super) address_arrivals_per_min: u32,
    pub(super) address_frames_per_s: u32,
    pub(super) address_bytes_per_s: u64,
    pub(super) address_accounts_per_h: u32,
    pub(super) address_joins_per_h: u32,
    pub(super) accounts_per_h: u32,
    pub(super) account_connections_max: u32,
    pub(super) account_frames_per_s: u32,
    pub(super) account_bytes_per_s: u64,
    pub(super) account_rendezvous_max: u32,
    pub(super) rendezvous_max: u32,
}

impl Default for RawAdmission {
    fn default() -> Self {
        Self {
            newcomers_percent: 25,
            handshakes_max: 128,
            address_connections_max: 200,
            address_newcomers_max: 50,
            address_arrivals_per_min: 300,
            address_frames_per_s: 1_000,
            address_bytes_per_s: 16 * MIB,
            address_accounts_per_h: 20,
            address_joins_per_h: 60,
            accounts_per_h: 500,
            account_connections_max: 64,
            account_frames_per_s: 500,
            account_bytes_per_s: 8 * MIB,
            account_rendezvous_max: 8,
            rendezvous_max: 1_024,
        }
    }
}

impl Check<'_> {
    pub(super) fn admission(
        &self,
        raw: &Raw,
        mode: TlsMode,
    ) -> Result<(Admission, RateLimits), ConfigError> {
        let written = &raw.admission;
        self.counts(written)?;
        let connections_max = raw.limits.connections_max as usize;
        let share = connections_max * written.newcomers_percent as usize / 100;
        let trusted_proxies = self.trusted_proxies(raw)?;
        let admission = Admission {
            crowd: ConnectionLimits {
                unauthenticated_max: share.max(NEWCOMERS_MIN),
                address_unauthenticated_max: written.address_newcomers_max as usize,
                address_connections_max: written.address_connections_max as usize,
                address_attempts: RateLimit::per_minute(written.address_arrivals_per_min.into()),
            },
            // Behind a proxy that nobody believes, everybody has the proxy's address.
            by_address: mode != TlsMode::Proxy || !trusted_proxies.is_empty(),
            address_frames: RateLimit::per_second(written.address_frames_per_s.into()),
            address_bytes: RateLimit::per_second(written.address_bytes_per_s),
            handshakes_max: written.handshakes_max as usize,
            proxy_header: self.proxy_header(raw, &trusted_proxies)?,
            trusted_proxies,
            allowed_origins: self.allowed_origins(raw)?,
        };
        let rate_limits = RateLimits {
            account_connections_max: written.account_connections_max as usize,
            account_frames: RateLimit::per_second(written.account_frames_per_s.into()),
            account_bytes: RateLimit::per_second(written.account_bytes_per_s),
            address_new_accounts: RateLimit::per_hour(written.address_accounts_per_h.into()),
            accounts: RateLimit::per_hour(written.accounts_per_h.into()),
            create_account_connections_max: (connections_max - share).max(1) as u64,
            address_joins: RateLimit::per_hour(written.address_joins_per_h.into()),
            rendezvous_slots_max: written.rendezvous_max as usize,
            account_rendezvous_slots_max: written.account_rendezvous_max as usize,
        };
        Ok((admission, rate_limits))
    }

    fn counts(&self, written: &RawAdmission) -> Result<(), ConfigError> {
        self.range(
            "admission.newcomers_percent",
            written.newcomers_percent,
            1..=90,
        )?;
        for (key, count) in [
            ("admission.handshakes_max", written.handshakes_max),
            (
                "admission.address_connections_max",
                written.address_connections_max,
            ),
            (
                "admission.address_newcomers_max",
                written.address_newcomers_max,
            ),
            (
                "admission.account_connections_max",
                written.account_connections_max,
            ),
            (
                "admission.account_rendezvous_max",
                written.account_rendezvous_max,
            ),
            ("admission.rendezvous_max", written.rendezvous_max),
        ] {
            self.range(key, count, 1..=1_000_000)?;
        }
        Ok(())
    }

    fn trusted_proxies(&self, raw: &Raw) -> Result<Vec<Network>, ConfigError> {
        let networks = raw.server.trusted_proxies.iter().map(|written| {
            written.parse().map_err(|error: crate::http::NotANetwork| {
                self.wrong(
                    "server.trusted_proxies",
                    &format!("has {written:?}; {error}"),
                )
            })
        });
        networks.collect()
    }

    fn proxy_header(&self, raw: &Raw, trusted: &[Network]) -> Result<ProxyHeader, ConfigError> {
        const KEY: &str = "server.proxy_protocol";
        let header = match raw.server.proxy_protocol.as_str() {
            "off" => return Ok(ProxyHeader::Off),
            "required" => ProxyHeader::Required,
            "optional" => ProxyHeader::Optional,
            written => return Err(self.not_one_of(KEY, written, &["off", "required", "optional"])),
        };
        if trusted.is_empty() {
            let text = "is of use only with `server.trusted_proxies`: nobody else is believed";
            return Err(self.wrong(KEY, text));
        }
        Ok(header)
    }

    fn allowed_origins(&self, raw: &Raw) -> Result<AllowedOrigins, ConfigError> {
        let origins = raw.server.allowed_origins.iter().map(|written| {
            let origin = written.to_ascii_lowercase();
            let host = origin.split_once("://").map(|(_, host)| host);
            if host.is_some_and(|host| !host.is_empty() && !host.contains(['/', ' ', '*', '?', '#', '@'])) {
                return Ok(origin);
            }
            let text = format!(
                "has {written:?}; an origin is what browsers send: scheme, name and perhaps a port, \
                 like \"https://app.example.org\", without a path and without *"
            );
            Err(self.wrong("server.allowed_origins", &text))
        });
        Ok(AllowedOrigins::new(origins.collect::<Result<Vec<_>, _>>()?))
    }
}

impl Config {
    /// What an operator should know that is no mistake.
    pub fn warning(&self) -> Option<&'static str> {
        (!self.admission.by_address).then_some(
            "all devices seem to come from the proxy, so limits per address do not hold; \
             list the proxy in server.trusted_proxies, and let it say who calls",
        )
    }
}
