//! The section `[server]`: addresses, domains, proxies and origins.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::check::Check;
use super::error::{ConfigError, Errors};
use super::tls::TlsMode;
use super::units::HumanDuration;
use crate::http::{AllowedOrigins, InvalidNetwork, ProxyHeader, parse_network};

/// Characters of a region's name.
const REGION_CHARS_MAX: usize = 60;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawServer {
    /// Empty: depends on whether the relay terminates TLS.
    pub(super) listen: String,
    pub(super) domains: Vec<String>,
    /// Empty: the first domain.
    pub(super) region: String,
    pub(super) trusted_proxies: Vec<String>,
    pub(super) proxy_protocol: String,
    pub(super) allowed_origins: Vec<String>,
    pub(super) shutdown_timeout: HumanDuration,
}

impl Default for RawServer {
    fn default() -> Self {
        Self {
            listen: String::new(),
            domains: Vec::new(),
            region: String::new(),
            trusted_proxies: Vec::new(),
            proxy_protocol: "off".to_owned(),
            allowed_origins: Vec::new(),
            shutdown_timeout: HumanDuration::from_secs(30),
        }
    }
}

impl RawServer {
    pub(super) fn ranges(&self, check: &Check<'_>, errors: &mut Errors) {
        check.timeouts(
            errors,
            &[("server.shutdown_timeout", self.shutdown_timeout)],
        );
    }

    pub(super) fn listen(
        &self,
        check: &Check<'_>,
        mode: TlsMode,
    ) -> Result<SocketAddr, ConfigError> {
        const KEY: &str = "server.listen";
        let listen = match self.listen.as_str() {
            "" => mode.default_listen(),
            written => check.address(KEY, written)?,
        };
        if !listen.ip().is_loopback() && mode == TlsMode::Off {
            let text = format!(
                "is {listen}, which other machines can reach, but `tls.mode` is \"off\", so traffic would be \
                 plain text. Set `tls.mode` (\"self-signed\" needs nothing else), or listen on 127.0.0.1"
            );
            return Err(check.wrong(KEY, &text));
        }
        Ok(listen)
    }

    /// The domains, in lower case.
    pub(super) fn domains(
        &self,
        check: &Check<'_>,
        mode: TlsMode,
    ) -> Result<Vec<String>, ConfigError> {
        let domains = self
            .domains
            .iter()
            .map(|name| check.domain("server.domains", name));
        let domains = domains.collect::<Result<Vec<_>, _>>()?;
        if mode == TlsMode::Proxy && domains.is_empty() {
            let text = "is \"proxy\", so `server.domains` must list the domains that devices connect to, \
                        like domains = [\"relay.example.org\"]: each device signs the domain it connects to, \
                        and behind a proxy the relay cannot learn it otherwise";
            return Err(check.wrong("tls.mode", text));
        }
        Ok(domains)
    }

    /// The name on the status page.
    pub(super) fn region(
        &self,
        check: &Check<'_>,
        domains: &[String],
    ) -> Result<String, ConfigError> {
        let region = self.region.trim();
        if region.chars().count() > REGION_CHARS_MAX {
            let text = format!("is longer than {REGION_CHARS_MAX} characters");
            return Err(check.wrong("server.region", &text));
        }
        let first = domains.first().map_or("This relay", String::as_str);
        Ok(if region.is_empty() { first } else { region }.to_owned())
    }

    pub(super) fn trusted_proxies(
        &self,
        check: &Check<'_>,
    ) -> Result<Vec<ipnet::IpNet>, ConfigError> {
        let networks = self.trusted_proxies.iter().map(|written| {
            parse_network(written).map_err(|error: InvalidNetwork| {
                check.wrong(
                    "server.trusted_proxies",
                    &format!("has {written:?}; {error}"),
                )
            })
        });
        networks.collect()
    }

    pub(super) fn proxy_header(
        &self,
        check: &Check<'_>,
        trusted: &[ipnet::IpNet],
    ) -> Result<ProxyHeader, ConfigError> {
        const KEY: &str = "server.proxy_protocol";
        match self.proxy_protocol.as_str() {
            "off" => Ok(ProxyHeader::Off),
            "required" if trusted.is_empty() => {
                let text =
                    "needs `server.trusted_proxies`: headers from other addresses are ignored";
                Err(check.wrong(KEY, text))
            }
            "required" => Ok(ProxyHeader::Required),
            "optional" => {
                let text = "is \"optional\", which the PROXY protocol's specification forbids; use \"required\" \
                            or \"off\"";
                Err(check.wrong(KEY, text))
            }
            written => Err(check.not_one_of(KEY, written, &["off", "required"])),
        }
    }

    pub(super) fn allowed_origins(&self, check: &Check<'_>) -> Result<AllowedOrigins, ConfigError> {
        let origins = self.allowed_origins.iter().map(|written| {
            let origin = written.to_ascii_lowercase();
            let host = origin.split_once("://").map(|(_, host)| host);
            let is_host = |host: &str| !host.is_empty() && !host.contains(['/', ' ', '*', '?', '#', '@']);
            if host.is_some_and(is_host) {
                return Ok(origin);
            }
            let text = format!(
                "has {written:?}; an origin is what browsers send: scheme, domain and perhaps a port, \
                 like \"https://app.example.org\", without a path and without *"
            );
            Err(check.wrong("server.allowed_origins", &text))
        });
        Ok(AllowedOrigins::new(origins.collect::<Result<Vec<_>, _>>()?))
    }
}
