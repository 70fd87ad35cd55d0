//! The section `[acme]`: certificates from a certificate authority.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::check::Check;
use super::error::ConfigError;
use crate::net::tls::{AcmeSetup, Challenge};

/// Where authorities connect, whatever port the relay itself listens on.
const TLS_PORT: u16 = 443;
const HTTP_PORT: u16 = 80;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAcme {
    pub(super) accept_tos: bool,
    /// Empty: `server.domains`.
    pub(super) domains: Vec<String>,
    pub(super) email: String,
    pub(super) directory_url: String,
    /// Empty: the system's certificate store.
    pub(super) ca_file: String,
    pub(super) self_check: bool,
}

impl Default for RawAcme {
    fn default() -> Self {
        Self {
            accept_tos: false,
            domains: Vec::new(),
            email: String::new(),
            directory_url: "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
            ca_file: String::new(),
            self_check: true,
        }
    }
}

impl RawAcme {
    /// `has_http`: the relay also listens without TLS, so the authority connects there.
    pub(super) fn setup(
        &self,
        check: &Check<'_>,
        server_domains: &[String],
        has_http: bool,
    ) -> Result<AcmeSetup, ConfigError> {
        let names = self.domains(check, server_domains)?;
        if !self.accept_tos {
            let text = "is false; read the authority's terms of service (Let's Encrypt: \
                        https://letsencrypt.org/repository), and set it to true to accept them";
            return Err(check.wrong("acme.accept_tos", text));
        }
        if !self.directory_url.starts_with("https://") {
            let text = format!(
                "is {:?}; it must be a URL that begins with https://",
                self.directory_url
            );
            return Err(check.wrong("acme.directory_url", &text));
        }
        let email = self.email.trim_start_matches("mailto:");
        if !email.is_empty() && !email.contains('@') {
            let text = format!(
                "is {:?}; it must be an e-mail address, or empty",
                self.email
            );
            return Err(check.wrong("acme.email", &text));
        }
        let (challenge, port) = match has_http {
            false => (Challenge::TlsAlpn, TLS_PORT),
            true => (Challenge::Http, HTTP_PORT),
        };
        Ok(AcmeSetup {
            names,
            directory: self.directory_url.clone(),
            contact: (!email.is_empty()).then(|| email.to_owned()),
            authority: self.ca_file(check)?,
            challenge,
            own_port: self.self_check.then_some(port),
            minute: Duration::from_secs(60),
        })
    }

    fn domains(
        &self,
        check: &Check<'_>,
        server_domains: &[String],
    ) -> Result<Vec<String>, ConfigError> {
        let (key, written) = match self.domains.is_empty() {
            true => ("server.domains", server_domains),
            false => ("acme.domains", self.domains.as_slice()),
        };
        if written.is_empty() {
            let text = "must list the domains that devices connect to, like domains = [\"relay.example.org\"]: \
                        the certificate is for these";
            return Err(check.wrong("server.domains", text));
        }
        let names = written.iter().map(|name| check.domain(key, name));
        let names = names.collect::<Result<Vec<_>, _>>()?;
        match names.iter().find(|name| name.parse::<IpAddr>().is_ok()) {
            Some(address) => {
                let text = format!(
                    "has {address}; ACME certificates are ordered for domains only, not for addresses"
                );
                Err(check.wrong(key, &text))
            }
            None => Ok(names),
        }
    }

    fn ca_file(&self, check: &Check<'_>) -> Result<Option<PathBuf>, ConfigError> {
        match self.ca_file.as_str() {
            "" => Ok(None),
            written => check.path("acme.ca_file", written).map(Some),
        }
    }
}
