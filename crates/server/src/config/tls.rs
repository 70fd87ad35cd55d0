//! Who speaks TLS, and what that needs.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use super::error::ConfigError;
use super::raw::Raw;
use super::validate::Check;
use crate::http::tls::TlsSetup;

/// Where nobody else can reach it.
const PLAIN_PORT: u16 = 8080;
const TLS_PORT: u16 = 443;

/// Who speaks TLS, and with which certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Nobody: the relay is for this machine alone.
    Off,
    /// A proxy in front, which the relay has to trust.
    Proxy,
    /// The relay, with a certificate that it made itself.
    SelfSigned,
    /// The relay, with a certificate from files.
    Files,
    /// The relay, with a certificate that it orders from an authority.
    Acme,
}

impl TlsMode {
    const ALL: [Self; 5] = [
        Self::Off,
        Self::Proxy,
        Self::SelfSigned,
        Self::Files,
        Self::Acme,
    ];

    /// As it is written in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Proxy => "proxy",
            Self::SelfSigned => "self-signed",
            Self::Files => "files",
            Self::Acme => "acme",
        }
    }

    /// Plain on this machine; every address, of both families, where TLS is spoken.
    pub(super) fn default_listen(self) -> SocketAddr {
        match self {
            Self::Off | Self::Proxy => (Ipv4Addr::LOCALHOST, PLAIN_PORT).into(),
            Self::SelfSigned | Self::Files | Self::Acme => (Ipv6Addr::UNSPECIFIED, TLS_PORT).into(),
        }
    }
}

type Tls = (TlsMode, Option<TlsSetup>, Option<SocketAddr>);

impl Check<'_> {
    pub(super) fn tls(&self, raw: &Raw) -> Result<Tls, ConfigError> {
        let written = raw.tls.mode.as_str();
        let mode = TlsMode::ALL.into_iter().find(|mode| mode.name() == written);
        let mode = mode.ok_or_else(|| {
            self.not_one_of("tls.mode", written, &TlsMode::ALL.map(TlsMode::name))
        })?;
        self.only_with(
            "tls.certificate",
            &raw.tls.certificate,
            mode,
            &[TlsMode::Files],
        )?;
        self.only_with("tls.key", &raw.tls.key, mode, &[TlsMode::Files])?;
        let own = [TlsMode::SelfSigned, TlsMode::Files, TlsMode::Acme];
        self.only_with("tls.http_listen", &raw.tls.http_listen, mode, &own)?;
        let setup = match mode {
            TlsMode::Off | TlsMode::Proxy => None,
            TlsMode::SelfSigned => Some(TlsSetup::SelfSigned),
            TlsMode::Acme => Some(TlsSetup::Acme(self.acme(raw)?)),
            TlsMode::Files => Some(TlsSetup::Files {
                certificate: self.file("tls.certificate", &raw.tls.certificate)?,
                key: self.file("tls.key", &raw.tls.key)?,
            }),
        };
        let http_listen = match raw.tls.http_listen.as_str() {
            "" => None,
            written => Some(self.address("tls.http_listen", written)?),
        };
        Ok((mode, setup, http_listen))
    }

    /// A setting that does nothing would be found out on a bad day.
    pub(super) fn only_with(
        &self,
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
            "is set, but does nothing while `tls.mode` is \"{}\"; it is for {}",
            mode.name(),
            modes.join(" and ")
        );
        Err(self.wrong(key, &text))
    }

    pub(super) fn file(&self, key: &str, written: &str) -> Result<PathBuf, ConfigError> {
        let path = PathBuf::from(written);
        if path.is_absolute() {
            return Ok(path);
        }
        let text = match written {
            "" => "must name a file, for `tls.mode` is \"files\"".to_owned(),
            _ => format!(
                "is {written:?}; it must be a whole path, like \"/etc/graceful-relay/{written}\""
            ),
        };
        Err(self.wrong(key, &text))
    }
}
