//! The section `[tls]`: where TLS ends, and with which certificate.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::check::Check;
use super::error::ConfigError;

/// Where only this machine connects.
const PLAIN_PORT: u16 = 8080;
const TLS_PORT: u16 = 443;

/// Where TLS ends, and with which certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Plain text, on loopback only.
    Off,
    /// A reverse proxy terminates TLS.
    Proxy,
    /// The relay creates its own certificate.
    SelfSigned,
    /// The relay reads a certificate from files.
    Manual,
    /// The relay orders certificates by ACME.
    Acme,
}

impl TlsMode {
    const ALL: [Self; 5] = [
        Self::Off,
        Self::Proxy,
        Self::SelfSigned,
        Self::Manual,
        Self::Acme,
    ];

    /// The value in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Proxy => "proxy",
            Self::SelfSigned => "self-signed",
            Self::Manual => "manual",
            Self::Acme => "acme",
        }
    }

    /// Loopback without TLS; every address of both families with it.
    pub(super) fn default_listen(self) -> SocketAddr {
        match self {
            Self::Off | Self::Proxy => (Ipv4Addr::LOCALHOST, PLAIN_PORT).into(),
            Self::SelfSigned | Self::Manual | Self::Acme => {
                (Ipv6Addr::UNSPECIFIED, TLS_PORT).into()
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTls {
    pub(super) mode: String,
    pub(super) certificate: String,
    pub(super) key: String,
    /// Empty: no plain listener.
    pub(super) http_listen: String,
}

impl Default for RawTls {
    fn default() -> Self {
        Self {
            mode: "off".to_owned(),
            certificate: String::new(),
            key: String::new(),
            http_listen: String::new(),
        }
    }
}

impl RawTls {
    pub(super) fn mode(&self, check: &Check<'_>) -> Result<TlsMode, ConfigError> {
        const KEY: &str = "tls.mode";
        let written = self.mode.as_str();
        if written == "files" {
            return Err(check.wrong(KEY, "is \"files\", which is now \"manual\""));
        }
        let mode = TlsMode::ALL.into_iter().find(|mode| mode.name() == written);
        let mode =
            mode.ok_or_else(|| check.not_one_of(KEY, written, &TlsMode::ALL.map(TlsMode::name)))?;
        let manual = [TlsMode::Manual];
        only_with(check, "tls.certificate", &self.certificate, mode, &manual)?;
        only_with(check, "tls.key", &self.key, mode, &manual)?;
        let own = [TlsMode::SelfSigned, TlsMode::Manual, TlsMode::Acme];
        only_with(check, "tls.http_listen", &self.http_listen, mode, &own)?;
        Ok(mode)
    }

    /// The certificate and its key.
    pub(super) fn files(&self, check: &Check<'_>) -> Result<(PathBuf, PathBuf), ConfigError> {
        let file = |key: &str, written: &str| match written {
            "" => Err(check.wrong(key, "is not set; `tls.mode` \"manual\" needs it")),
            written => check.path(key, written),
        };
        let certificate = file("tls.certificate", &self.certificate)?;
        Ok((certificate, file("tls.key", &self.key)?))
    }

    pub(super) fn http_listen(&self, check: &Check<'_>) -> Result<Option<SocketAddr>, ConfigError> {
        match self.http_listen.as_str() {
            "" => Ok(None),
            written => check.address("tls.http_listen", written).map(Some),
        }
    }
}

/// Refuses an option that has no effect, so that no operator relies on it.
fn only_with(
    check: &Check<'_>,
    key: &str,
    written: &str,
    mode: TlsMode,
    modes: &[TlsMode],
) -> Result<(), ConfigError> {
    if written.is_empty() || modes.contains(&mode) {
        return Ok(());
    }
    let modes: Vec<_> = modes
        .iter()
        .map(|mode| format!("\"{}\"", mode.name()))
        .collect();
    let text = format!(
        "is set, but has no effect while `tls.mode` is \"{}\"; it is for {}",
        mode.name(),
        modes.join(" and ")
    );
    Err(check.wrong(key, &text))
}
