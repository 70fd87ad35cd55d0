//! A certificate from an authority over ACME (RFC 8555).
//!
//! rustls-acme runs an order; this module decides when. An order never retries by itself.

mod attempts;
mod order;
mod renewal;
mod self_check;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use super::certificate::Certificate;
use super::{TlsError, clock, self_signed};
use attempts::Attempts;

pub use order::Challenge;

/// How a certificate is ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeSetup {
    /// The names of the certificate.
    pub names: Vec<String>,
    /// The URL of the authority's directory.
    pub directory: String,
    /// The e-mail address for the authority.
    pub contact: Option<String>,
    /// The root certificate of a private authority's server, in PEM form.
    pub authority: Option<PathBuf>,
    /// The challenge type.
    pub challenge: Challenge,
    /// The port for the self check before the first order.
    pub own_port: Option<u16>,
    /// The unit of every wait; shorter in tests.
    pub minute: Duration,
}

const MINUTES_IN_AN_HOUR: u32 = 60;

pub(super) struct Acme {
    setup: AcmeSetup,
    /// Account and certificate files, one set per authority.
    account: PathBuf,
    certificate: PathBuf,
    attempts: PathBuf,
    /// Whether the certificate in use is from the authority.
    issued: AtomicBool,
    /// An operator requested an order.
    asked: AtomicBool,
    wake: Notify,
}

/// The next step.
enum Step {
    Wait(Duration),
    Order,
}

impl Acme {
    /// Loads the last certificate, or creates a placeholder that no device accepts, so that the
    /// port responds to challenges.
    pub(super) fn prepare(
        setup: AcmeSetup,
        folder: &Path,
    ) -> Result<(Self, Certificate), TlsError> {
        let whose = &data_encoding::HEXLOWER.encode(&Sha256::digest(&setup.directory))[..8];
        let acme = Self {
            account: folder.join(format!("acme-{whose}-account.key")),
            certificate: folder.join(format!("acme-{whose}-certificate.pem")),
            attempts: folder.join("acme-attempts.json"),
            setup,
            issued: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            wake: Notify::new(),
        };
        let path = &acme.certificate;
        let kept = graceful_fs_util::read_optional(path).map_err(TlsError::file("read", path))?;
        // A damaged file is replaced by the next order.
        let kept = kept.and_then(|pem| Certificate::from_pem(&pem, &pem).ok());
        acme.issued.store(kept.is_some(), Ordering::Relaxed);
        let certificate = match kept {
            Some(certificate) => certificate,
            None => self_signed::create(&self_signed::new_key()?, &acme.setup.names)?,
        };
        Ok((acme, certificate))
    }

    pub(super) fn names(&self) -> &[String] {
        &self.setup.names
    }

    pub(super) fn has_certificate(&self) -> bool {
        self.issued.load(Ordering::Relaxed)
    }

    pub(super) fn answers_by_alpn(&self) -> bool {
        self.setup.challenge == Challenge::TlsAlpn
    }

    /// Orders now instead of waiting for the backoff, within the limit of the authority.
    pub(super) fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    fn is_due(&self, certificate: &Certificate) -> bool {
        let covers = self
            .setup
            .names
            .iter()
            .all(|name| certificate.is_valid_for(name));
        !self.has_certificate() || !covers || renewal::is_due(certificate, clock::wall_s())
    }
}

impl super::Tls {
    /// Never returns. Checks every hour at least, since the clock may be set.
    pub(super) async fn run_renewal(&self, acme: &Acme) {
        let hour = acme.setup.minute * MINUTES_IN_AN_HOUR;
        loop {
            let wait = match self.next_action(acme) {
                Step::Order => self.order(acme).await,
                Step::Wait(wait) => wait,
            };
            tokio::select! {
                () = tokio::time::sleep(wait.min(hour)) => {}
                () = acme.wake.notified() => {}
            }
        }
    }

    fn next_action(&self, acme: &Acme) -> Step {
        let minute = acme.setup.minute;
        let asked = acme.asked.swap(false, Ordering::Relaxed);
        if !renewal::is_clock_set(clock::wall_s()) {
            self.set_problem(Some(format!(
                "the clock of this machine is at {}; no certificate is ordered before it is set",
                clock::format_utc(clock::wall_s())
            )));
            return Step::Wait(minute);
        }
        if !acme.is_due(&self.inner.resolver.current()) {
            self.check_certificate();
            return Step::Wait(minute * MINUTES_IN_AN_HOUR);
        }
        let attempts = Attempts::read(&acme.attempts, &acme.setup.names, clock::wall_ms());
        match attempts.wait(clock::wall_ms(), minute, asked) {
            Duration::ZERO => Step::Order,
            wait => Step::Wait(wait),
        }
    }

    /// Runs one order and returns how long to wait after it.
    async fn order(&self, acme: &Acme) -> Duration {
        let minute = acme.setup.minute;
        if let Some(port) = acme.setup.own_port.filter(|_| !acme.has_certificate())
            && let Err(why) = self_check::check(&self.inner.resolver, &acme.setup, port).await
        {
            self.set_problem(Some(format!("no certificate is ordered yet: {why}")));
            return minute;
        }
        // Recorded as failed before it starts, so that a crash counts.
        let mut attempts = Attempts::read(&acme.attempts, &acme.setup.names, clock::wall_ms());
        attempts.begin(clock::wall_ms());
        if let Err(error) = attempts.write(&acme.attempts) {
            self.set_problem(Some(format!(
                "no certificate is ordered: cannot write {}: {error}",
                acme.attempts.display()
            )));
            return minute;
        }
        match order::order(&acme.setup, &acme.account, &self.inner.resolver).await {
            Ok((certificate, pem)) => {
                self.issued(acme, certificate, &pem, &mut attempts);
                Duration::ZERO
            }
            Err(why) => {
                let wait = attempts.wait(clock::wall_ms(), minute, false);
                let minutes = wait.as_millis().div_ceil(minute.as_millis().max(1));
                self.set_problem(Some(format!(
                    "no certificate from {}: {why}; tried again in {minutes} min",
                    acme.setup.directory
                )));
                wait
            }
        }
    }

    fn issued(&self, acme: &Acme, certificate: Certificate, pem: &[u8], attempts: &mut Attempts) {
        if let Err(error) = graceful_fs_util::atomic_write(&acme.certificate, pem) {
            tracing::warn!(
                "storing the new certificate failed: {error}; it is in use until the next restart"
            );
        }
        tracing::info!("a new certificate: {}", certificate.validity());
        self.inner.resolver.replace(certificate);
        acme.issued.store(true, Ordering::Relaxed);
        attempts.succeeded();
        if let Err(error) = attempts.write(&acme.attempts) {
            tracing::warn!("cannot write {}: {error}", acme.attempts.display());
        }
        self.check_certificate();
    }
}
