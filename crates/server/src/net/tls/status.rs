//! How the relay's TLS stands, for its operator.

use super::{Source, Tls, clock};

/// A picture of one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct TlsStatus {
    /// Where the certificate comes from, as in `tls.mode`.
    pub tls: String,
    /// When the certificate in use ends, in seconds since 1970; none while there is no good one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_expires_s: Option<i64>,
    /// The same for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_expires: Option<String>,
    /// What devices know a relay by that made its own certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay_key: Option<String>,
    /// What the operator should look at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_trouble: Option<String>,
}

impl Tls {
    /// How it stands.
    pub fn status(&self) -> TlsStatus {
        let expires_s = self.expires_s();
        TlsStatus {
            tls: match self.inner.source {
                Source::Files(_) => "files",
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
