//! The relay's own TLS: where its certificate comes from, and that it is the right one today.
//!
//! TLS 1.3 and nothing older. A certificate can be replaced at any time; connections that are open
//! keep theirs. A replacement that does not serve leaves the old one in place, and is told.

mod acme;
mod cert_resolver;
mod certificate;
mod clock;
mod files;
mod handshake;
mod self_connect;
mod self_signed;
mod status;
mod watch;

use parking_lot::{Mutex, MutexGuard};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::observe::{NotReadyReason, Readiness};

use rustls::ServerConfig;

use acme::Acme;
use cert_resolver::CertResolver;
use certificate::Certificate;
use files::Files;

pub use acme::{AcmeSetup, Challenge};
pub(crate) use clock::wall_s;
pub(crate) use handshake::Handshake;
pub use status::TlsStatus;

/// The folder for keys and certificates in the data folder.
pub const FOLDER: &str = "tls";

/// Where a relay's certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsSetup {
    /// From two PEM files that somebody else keeps up to date.
    Files {
        /// The certificate, and behind it those that lead to its issuer.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// Made by the relay itself: devices know it by its key.
    SelfSigned,
    /// From an authority, over ACME.
    Acme(AcmeSetup),
}

/// Why there is no certificate to serve.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("cannot {doing} {}: {error}", path.display())]
    File {
        /// "read", "write".
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A file can be read, but does not serve.
    #[error("{}: {what}", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why, and what to do.
        what: String,
    },
    /// The cryptography refused.
    #[error("no certificate could be made: {0}")]
    Making(String),
}

impl TlsError {
    fn file(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::File { doing, path, error }
    }

    fn unusable(path: &Path, what: impl Into<String>) -> Self {
        Self::Unusable {
            path: path.to_owned(),
            what: what.into(),
        }
    }
}

/// The TLS of one relay. Clones are handles to the same.
#[derive(Clone)]
pub struct Tls {
    inner: Arc<Inner>,
}

struct Inner {
    source: Source,
    /// What devices dial, if the operator said so.
    names: Vec<String>,
    resolver: Arc<CertResolver>,
    config: Arc<ServerConfig>,
    /// Why the newest certificate is not the one that is served, or what is wrong with that one.
    problem: Mutex<Option<String>>,
}

enum Source {
    Files(Files),
    SelfSigned,
    Acme(Acme),
}

impl Tls {
    /// Loads or makes the certificate. `folder` is the data folder, `names` are what devices dial;
    /// without any, those in the certificate are, and a relay that makes its own asks the machine.
    ///
    /// # Errors
    /// [`TlsError`] says what is in the way.
    pub fn prepare(setup: TlsSetup, names: Vec<String>, folder: &Path) -> Result<Self, TlsError> {
        let (source, certificate) = match setup {
            TlsSetup::Files { certificate, key } => {
                let (files, certificate) = Files::load(certificate, key)?;
                (Source::Files(files), certificate)
            }
            TlsSetup::SelfSigned => (
                Source::SelfSigned,
                self_signed::load_or_create(&folder.join(FOLDER), names.clone())?,
            ),
            TlsSetup::Acme(setup) => {
                let (acme, certificate) = Acme::prepare(setup, &folder.join(FOLDER))?;
                (Source::Acme(acme), certificate)
            }
        };
        let resolver = Arc::new(CertResolver::new(certificate));
        let answers_acme = matches!(&source, Source::Acme(acme) if acme.answers_by_alpn());
        let config = handshake::server_config(resolver.clone(), answers_acme)
            .map_err(|error| TlsError::Making(error.to_string()))?;
        let problem = Mutex::new(None);
        let tls = Self {
            inner: Arc::new(Inner {
                source,
                names,
                resolver,
                config,
                problem,
            }),
        };
        tls.check_certificate();
        Ok(tls)
    }

    /// What devices dial.
    pub fn names(&self) -> Vec<String> {
        if !self.inner.names.is_empty() {
            return self.inner.names.clone();
        }
        let certificate = self.inner.resolver.current();
        certificate
            .names
            .iter()
            .filter(|name| !name.starts_with('*'))
            .cloned()
            .collect()
    }

    /// What devices know a relay by that made its own certificate.
    pub fn key(&self) -> Option<String> {
        match self.inner.source {
            Source::SelfSigned => Some(self.inner.resolver.current().fingerprint()),
            Source::Files(_) | Source::Acme(_) => None,
        }
    }

    /// Reads the certificate anew, whether or not it has changed. What it says is for the operator.
    ///
    /// # Errors
    /// [`TlsError`]: the old one stays.
    pub fn reload(&self) -> Result<String, TlsError> {
        match &self.inner.source {
            Source::Files(files) => {
                let loaded = files.read();
                self.install(loaded)?;
                Ok(format!(
                    "the certificate was read again; {}",
                    self.inner.resolver.current().validity()
                ))
            }
            Source::SelfSigned => Ok(
                "the relay made its certificate itself; there is nothing to read again".to_owned(),
            ),
            Source::Acme(acme) => {
                acme.ask();
                Ok(match acme.has_certificate() {
                    true => {
                        format!(
                            "{}; if it is due, it is ordered now",
                            self.inner.resolver.current().validity()
                        )
                    }
                    false => {
                        "the certificate is ordered now, unless five orders failed within the hour"
                            .to_owned()
                    }
                })
            }
        }
    }

    /// Puts what was read into service, or says why not and keeps the old one.
    fn install(&self, loaded: Result<Certificate, TlsError>) -> Result<(), TlsError> {
        match loaded {
            Ok(certificate) => {
                self.inner.resolver.replace(certificate);
                self.check_certificate();
                Ok(())
            }
            Err(error) => {
                self.set_problem(Some(format!(
                    "{error}; the old certificate is still in use"
                )));
                Err(error)
            }
        }
    }

    /// Looks at the certificate in use.
    fn check_certificate(&self) {
        let names = match &self.inner.source {
            Source::Acme(acme) if !acme.has_certificate() => {
                return self.set_problem(Some(
                    "there is no certificate yet; devices cannot connect before".to_owned(),
                ));
            }
            Source::Acme(acme) => acme.names(),
            Source::Files(_) | Source::SelfSigned => &self.inner.names,
        };
        self.set_problem(
            self.inner
                .resolver
                .current()
                .problem(names, clock::wall_s()),
        );
    }

    /// Told once, not each time that it is found.
    fn set_problem(&self, problem: Option<String>) {
        let mut told = self.problem();
        if *told != problem {
            match &problem {
                Some(text) => tracing::warn!("TLS: {text}"),
                None => tracing::info!(
                    "TLS: all is well; {}",
                    self.inner.resolver.current().validity()
                ),
            }
            *told = problem;
        }
    }

    /// Lets readiness check this certificate.
    pub fn report_to(&self, readiness: &Readiness) {
        let tls = self.clone();
        readiness.set_certificate_check(move || tls.not_ready_reason());
    }

    fn not_ready_reason(&self) -> Option<NotReadyReason> {
        match self.expires_s() {
            None => Some(NotReadyReason::CertificateMissing),
            Some(expires_s) if expires_s <= clock::wall_s() => {
                Some(NotReadyReason::CertificateExpired)
            }
            Some(_) => None,
        }
    }

    /// When the certificate in use expires, in seconds since 1970; `None` before the first is issued.
    fn expires_s(&self) -> Option<i64> {
        let is_placeholder =
            matches!(&self.inner.source, Source::Acme(acme) if !acme.has_certificate());
        (!is_placeholder).then(|| self.inner.resolver.current().not_after_s)
    }

    /// What is to be answered to an authority that asks over plain HTTP.
    pub(crate) fn http01_response(&self, token: &str) -> Option<String> {
        self.inner.resolver.http01_response(token)
    }

    fn problem(&self) -> MutexGuard<'_, Option<String>> {
        self.inner.problem.lock()
    }
}
