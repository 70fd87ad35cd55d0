//! What ordering a certificate from an authority needs.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::error::ConfigError;
use super::raw::Raw;
use super::validate::Check;
use crate::http::tls::{AcmeSetup, Challenge};

/// Where authorities look, whatever port the relay itself listens on.
const TLS_PORT: u16 = 443;
const HTTP_PORT: u16 = 80;

impl Check<'_> {
    pub(super) fn acme(&self, raw: &Raw) -> Result<AcmeSetup, ConfigError> {
        let acme = &raw.acme;
        let names = self.acme_names(raw)?;
        if !acme.agree_to_terms {
            let text = "is false; read the terms of the authority (Let's Encrypt: \
                        https://letsencrypt.org/repository), and set it to true if you agree to them";
            return Err(self.wrong("acme.agree_to_terms", text));
        }
        if !acme.directory.starts_with("https://") {
            let text = format!(
                "is {:?}; it must be a URL that begins with https://",
                acme.directory
            );
            return Err(self.wrong("acme.directory", &text));
        }
        let contact = acme.contact.trim_start_matches("mailto:");
        if !contact.is_empty() && !contact.contains('@') {
            let text = format!(
                "is {:?}; it must be an e-mail address, or empty",
                acme.contact
            );
            return Err(self.wrong("acme.contact", &text));
        }
        let (challenge, port) = match raw.tls.http_listen.is_empty() {
            true => (Challenge::TlsAlpn, TLS_PORT),
            false => (Challenge::Http, HTTP_PORT),
        };
        Ok(AcmeSetup {
            names,
            directory: acme.directory.clone(),
            contact: (!contact.is_empty()).then(|| contact.to_owned()),
            authority: self.authority(&acme.authority)?,
            challenge,
            own_port: acme.self_check.then_some(port),
            minute: Duration::from_secs(60),
        })
    }

    fn acme_names(&self, raw: &Raw) -> Result<Vec<String>, ConfigError> {
        let (key, written) = match raw.acme.names.is_empty() {
            true => ("server.names", &raw.server.names),
            false => ("acme.names", &raw.acme.names),
        };
        if written.is_empty() {
            let text = "must list the names that devices dial, like names = [\"relay.example.org\"]: \
                        the certificate is for these";
            return Err(self.wrong("server.names", text));
        }
        let names = written
            .iter()
            .map(|name| self.name(key, name))
            .collect::<Result<Vec<_>, _>>()?;
        match names.iter().find(|name| name.parse::<IpAddr>().is_ok()) {
            Some(address) => {
                let text = format!(
                    "has {address}; this relay orders certificates for names only, not for addresses"
                );
                Err(self.wrong(key, &text))
            }
            None => Ok(names),
        }
    }

    fn authority(&self, written: &str) -> Result<Option<PathBuf>, ConfigError> {
        match written {
            "" => Ok(None),
            written => self.file("acme.authority", written).map(Some),
        }
    }
}
