//! The relay's own TLS (1.3 only) and its certificate.
//!
//! A certificate can be replaced at any time; open connections keep theirs. An unusable replacement
//! leaves the old one in place and is reported.

mod acme;
mod cert_resolver;
mod certificate;
mod clock;
mod files;
mod handshake;
mod provider;
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

/// The directory for keys and certificates in the data directory.
pub const FOLDER: &str = "tls";

/// The source of the certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsSetup {
    /// Two PEM files that another program renews.
    Files {
        /// The certificate chain, the relay's own first.
        certificate: PathBuf,
        /// The private key.
        key: PathBuf,
    },
    /// Self-signed: devices pin the key.
    SelfSigned,
    /// From an authority over ACME.
    Acme(AcmeSetup),
}

/// The reason why there is no certificate to serve.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("cannot {doing} {}: {error}", path.display())]
    File {
        /// "read" or "write".
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        error: std::io::Error,
    },
    /// A file was read, but is unusable.
    #[error("{}: {what}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The cause and the next step.
        what: String,
    },
    /// A key or a certificate could not be created.
    #[error("creating a certificate failed: {0}")]
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

/// The TLS of one relay. Clones share it.
#[derive(Clone)]
pub struct Tls {
    inner: Arc<Inner>,
}

struct Inner {
    source: Source,
    /// The names that devices dial, if configured.
    names: Vec<String>,
    resolver: Arc<CertResolver>,
    config: Arc<ServerConfig>,
    /// What an operator should fix about the certificate.
    problem: Mutex<Option<String>>,
}

enum Source {
    Files(Files),
    SelfSigned,
    Acme(Acme),
}

impl Tls {
    /// Loads or creates the certificate. `folder` is the data directory, `names` are what devices
    /// dial: by default the names in the certificate, or for a self-signed one those of this
    /// machine.
    ///
    /// # Errors
    /// [`TlsError`]
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

    /// Returns the names that devices dial.
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

    /// Returns the fingerprint that devices pin, for a self-signed certificate.
    pub fn key(&self) -> Option<String> {
        match self.inner.source {
            Source::SelfSigned => Some(self.inner.resolver.current().fingerprint()),
            Source::Files(_) | Source::Acme(_) => None,
        }
    }

    /// Reads the certificate again and returns a message for the operator.
    ///
    /// # Errors
    /// [`TlsError`]: the old certificate stays in use.
    pub fn reload(&self) -> Result<String, TlsError> {
        match &self.inner.source {
            Source::Files(files) => {
                let loaded = files.read();
                self.install(loaded)?;
                Ok(format!(
                    "reloaded the certificate; {}",
                    self.inner.resolver.current().validity()
                ))
            }
            Source::SelfSigned => {
                Ok("the certificate is self-signed; nothing to reload".to_owned())
            }
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

    /// Puts a certificate in use, or keeps the old one.
    fn install(&self, loaded: Result<Certificate, TlsError>) -> Result<(), TlsError> {
        match loaded {
            Ok(certificate) => {
                self.inner.resolver.replace(certificate);
                self.check_certificate();
                Ok(())
            }
            Err(error) => {
                self.set_problem(Some(format!("{error}; the old certificate stays in use")));
                Err(error)
            }
        }
    }

    /// Checks the certificate in use.
    fn check_certificate(&self) {
        let names = match &self.inner.source {
            Source::Acme(acme) if !acme.has_certificate() => {
                return self.set_problem(Some(
                    "no certificate has been issued yet; devices cannot connect".to_owned(),
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

    /// Logs a problem when it changes, not each time it is found.
    fn set_problem(&self, problem: Option<String>) {
        let mut told = self.problem();
        if *told != problem {
            match &problem {
                Some(text) => tracing::warn!("TLS: {text}"),
                None => tracing::info!("TLS: {}", self.inner.resolver.current().validity()),
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

    /// Returns the response to an http-01 challenge.
    pub(crate) fn http01_response(&self, token: &str) -> Option<String> {
        self.inner.resolver.http01_response(token)
    }

    fn problem(&self) -> MutexGuard<'_, Option<String>> {
        self.inner.problem.lock()
    }
}
