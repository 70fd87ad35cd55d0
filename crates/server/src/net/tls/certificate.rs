//! A certificate with its key.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::clock;
use super::provider::provider;

/// Warn when the certificate is valid for less than this, or for less than a quarter of its
/// lifetime.
const WARNING_DAYS: i64 = 14;

const DAY_S: i64 = 86_400;

#[derive(Debug, Clone)]
pub(super) struct Certificate {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) not_before_s: i64,
    pub(super) not_after_s: i64,
    /// The names and addresses in the certificate.
    pub(super) names: Vec<String>,
}

impl Certificate {
    /// Parses PEM: a chain that starts with the relay's certificate, and its key.
    pub(super) fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, String> {
        let chain = parse_chain(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
            "no usable private key in PEM form (it must not be encrypted)".to_owned()
        })?;
        Self::new(chain, key)
    }

    pub(super) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, String> {
        let leaf = chain.first().ok_or("there is no certificate")?;
        let (_, parsed) =
            X509Certificate::from_der(leaf).map_err(|_| "the certificate is damaged")?;
        let validity = parsed.validity();
        let (not_before_s, not_after_s) = (
            validity.not_before.timestamp(),
            validity.not_after.timestamp(),
        );
        let names = subject_names(&parsed);
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => "the certificate and the key do not belong together (the \
                                                   relay's own certificate must be the first in its file)"
                .to_owned(),
            error => format!("the key cannot be used: {error}"),
        })?;
        Ok(Self {
            certified: Arc::new(certified),
            not_before_s,
            not_after_s,
            names,
        })
    }

    /// SHA-256 of the SubjectPublicKeyInfo, which devices pin.
    pub(super) fn fingerprint(&self) -> String {
        let leaf = self
            .certified
            .end_entity_cert()
            .expect("a chain has a first");
        let parsed = ParsedCertificate::try_from(leaf).expect("it was parsed when it was loaded");
        BASE64URL_NOPAD.encode(&Sha256::digest(parsed.subject_public_key_info()))
    }

    /// Returns whether this is the DER encoding of the leaf.
    pub(super) fn is(&self, bytes: &[u8]) -> bool {
        self.certified
            .cert
            .first()
            .is_some_and(|leaf| leaf.as_ref() == bytes)
    }

    /// Returns whether a device that dials `name` accepts the certificate.
    pub(super) fn is_valid_for(&self, name: &str) -> bool {
        let leaf = self
            .certified
            .end_entity_cert()
            .expect("a chain has a first");
        let (Ok(parsed), Ok(name)) = (
            ParsedCertificate::try_from(leaf),
            ServerName::try_from(name),
        ) else {
            return false;
        };
        verify_server_name(&parsed, &name).is_ok()
    }

    pub(super) fn validity(&self) -> String {
        format!(
            "the certificate is valid until {}",
            clock::format_utc(self.not_after_s)
        )
    }

    /// Returns what an operator should fix, if anything.
    pub(super) fn problem(&self, names: &[String], wall_s: i64) -> Option<String> {
        if let Some(name) = names.iter().find(|name| !self.is_valid_for(name)) {
            return Some(format!(
                "the certificate is not valid for {name} in `server.domains`; it is valid for {}",
                self.names.join(", ")
            ));
        }
        if wall_s < self.not_before_s {
            let from = clock::format_utc(self.not_before_s);
            return Some(format!(
                "the certificate is not valid before {from}; check the clock of this machine"
            ));
        }
        let left_s = self.not_after_s - wall_s;
        if left_s < 0 {
            return Some(format!(
                "the certificate expired on {}",
                clock::format_utc(self.not_after_s)
            ));
        }
        let warning_s = (WARNING_DAYS * DAY_S).min((self.not_after_s - self.not_before_s) / 4);
        (left_s < warning_s).then(|| {
            format!(
                "the certificate expires in {} days, on {}",
                left_s / DAY_S,
                clock::format_utc(self.not_after_s)
            )
        })
    }
}

fn parse_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err("no certificate in PEM form (-----BEGIN CERTIFICATE-----)".to_owned()),
    }
}

fn subject_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(alternatives)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = alternatives
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
            _ => None,
        });
    names.collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes)
            .ok()
            .map(|bytes| Ipv4Addr::from(bytes).into()),
        _ => <[u8; 16]>::try_from(bytes)
            .ok()
            .map(|bytes| Ipv6Addr::from(bytes).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::self_signed;

    #[test]
    fn what_will_go_wrong_is_told_before_it_does() {
        let names = ["relay.example".to_owned()];
        let mut certificate = self_signed::create(&self_signed::new_key().expect("a key"), &names)
            .expect("a certificate");
        (certificate.not_before_s, certificate.not_after_s) = (1_000 * DAY_S, 1_090 * DAY_S);
        let told = |names: &[String], day: i64| {
            certificate.problem(names, day * DAY_S).unwrap_or_default()
        };
        assert_eq!(told(&names, 1_000), "");
        assert!(
            told(&names, 1_080).contains("expires in 10 days, on 1972-12-26"),
            "{}",
            told(&names, 1_080)
        );
        assert!(
            told(&names, 1_091).contains("expired on 1972-12-26"),
            "{}",
            told(&names, 1_091)
        );
        // A board without a battery-backed clock.
        assert!(told(&names, 0).contains("clock"), "{}", told(&names, 0));
        assert!(told(&["other.example".to_owned()], 1_000).contains("not valid for other.example"));
    }
}
