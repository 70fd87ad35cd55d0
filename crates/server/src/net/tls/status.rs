//! The TLS status for operators.

use super::{Source, Tls, clock};

/// The TLS status at one time.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct TlsStatus {
    /// The source of the certificate, as in `tls.mode`.
    pub tls: String,
    /// The expiry in seconds since 1970; none before the first certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_expires_s: Option<i64>,
    /// The expiry for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_expires: Option<String>,
    /// The fingerprint that devices pin, for a self-signed certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay_key: Option<String>,
    /// What an operator should fix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_trouble: Option<String>,
}

impl Tls {
    /// Returns the status.
    pub fn status(&self) -> TlsStatus {
        let expires_s = self.expires_s();
        TlsStatus {
            tls: match self.inner.source {
                Source::Files(_) => "manual",
                Source::SelfSigned => "self-signed",
                Source::Acme(_) => "acme",
            }
            .to_owned(),
            certificate_expires_s: expires_s,
            certificate_expires: expires_s.map(clock::format_utc),
            relay_key: self.key(),
            tls_trouble: self.problem().clone(),
        }
    }
}
