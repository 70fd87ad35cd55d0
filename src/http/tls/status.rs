//! How the relay's TLS stands, for its operator.

use super::{Source, Tls, clock};

/// A picture of one moment.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TlsStatus {
    /// Where the certificate comes from, as in `tls.mode`.
    pub tls: &'static str,
    /// When the certificate in use ends, in seconds since 1970.
    pub certificate_expires_s: i64,
    /// The same for people.
    pub certificate_expires: String,
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
        let certificate = self.inner.held.now();
        TlsStatus {
            tls: match self.inner.source {
                Source::Files(_) => "files",
                Source::SelfSigned => "self-signed",
            },
            certificate_expires_s: certificate.not_after_s,
            certificate_expires: clock::written(certificate.not_after_s),
            relay_key: self.key(),
            tls_trouble: self.trouble().clone(),
        }
    }
}
