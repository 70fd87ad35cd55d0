//! Readiness: whether the relay serves devices, and if not, why.
//!
//! The only source. `/health/ready`, `/status`, `healthcheck`, `status`, the status page, the uptime log, the
//! canary, the metric `graceful_relay_ready` and the log all read it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// A reason why the relay does not serve devices. The order is that of severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotReadyReason {
    /// A write to the store failed; the process exits.
    StoreFailed,
    /// Free disk space is below the minimum; the store rejects new envelopes.
    DiskLow,
    /// No certificate has been issued yet.
    CertificateMissing,
    /// The certificate in use has expired.
    CertificateExpired,
    /// The last canary run failed.
    CanaryFailed,
    /// The relay is shutting down.
    Draining,
}

impl NotReadyReason {
    /// All reasons, by severity.
    pub const ALL: [Self; 6] = [
        Self::StoreFailed,
        Self::DiskLow,
        Self::CertificateMissing,
        Self::CertificateExpired,
        Self::CanaryFailed,
        Self::Draining,
    ];

    /// The code for programs: metric labels and JSON.
    pub const fn code(self) -> &'static str {
        match self {
            Self::StoreFailed => "store_failed",
            Self::DiskLow => "low_disk_space",
            Self::CertificateMissing => "certificate_missing",
            Self::CertificateExpired => "certificate_expired",
            Self::CanaryFailed => "canary_failed",
            Self::Draining => "draining",
        }
    }

    /// The message for people.
    pub const fn message(self) -> &'static str {
        match self {
            Self::StoreFailed => "a write to the store failed",
            Self::DiskLow => "the disk is nearly full, so new envelopes are rejected",
            Self::CertificateMissing => "the TLS certificate has not been issued yet",
            Self::CertificateExpired => "the TLS certificate has expired",
            Self::CanaryFailed => "the last canary run failed",
            Self::Draining => "the relay is shutting down",
        }
    }

    /// Whether an operator caused it on purpose: planned downtime.
    pub const fn is_planned(self) -> bool {
        matches!(self, Self::Draining)
    }
}

/// All reasons that hold now, the most severe first. Empty: the relay is ready.
pub type NotReadyReasons = BTreeSet<NotReadyReason>;

/// Returns [`NotReadyReason::CertificateMissing`] or [`NotReadyReason::CertificateExpired`], or nothing.
type CertificateCheck = Box<dyn Fn() -> Option<NotReadyReason> + Send + Sync>;

/// The readiness of one relay. Clones share it.
#[derive(Clone, Default)]
pub struct Readiness {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    reasons: watch::Sender<NotReadyReasons>,
    /// Unset where a proxy terminates TLS.
    certificate: OnceLock<CertificateCheck>,
}

impl Readiness {
    /// Adds or removes a reason, and logs the change.
    pub fn set(&self, reason: NotReadyReason, holds: bool) {
        self.inner.reasons.send_if_modified(|reasons| {
            let changed = match holds {
                true => reasons.insert(reason),
                false => reasons.remove(&reason),
            };
            if changed {
                log_change(reason, holds, reasons);
            }
            changed
        });
    }

    /// Registers the check of the certificate, once. It runs on every read, since a certificate expires
    /// without an event.
    pub fn set_certificate_check(
        &self,
        check: impl Fn() -> Option<NotReadyReason> + Send + Sync + 'static,
    ) {
        // Both the listener and the admin service register the same certificate.
        let _ = self.inner.certificate.set(Box::new(check));
        self.certificate_problem();
    }

    /// Runs the certificate check.
    pub fn certificate_problem(&self) -> Option<NotReadyReason> {
        let problem = self.inner.certificate.get().and_then(|check| check());
        for reason in [
            NotReadyReason::CertificateMissing,
            NotReadyReason::CertificateExpired,
        ] {
            self.set(reason, problem == Some(reason));
        }
        problem
    }

    /// Returns all reasons that hold now.
    pub fn reasons(&self) -> NotReadyReasons {
        self.certificate_problem();
        self.inner.reasons.borrow().clone()
    }

    /// Subscribes to changes.
    pub fn subscribe(&self) -> watch::Receiver<NotReadyReasons> {
        self.inner.reasons.subscribe()
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Readiness")
            .field(&*self.inner.reasons.borrow())
            .finish()
    }
}

fn log_change(reason: NotReadyReason, holds: bool, left: &NotReadyReasons) {
    let (code, message) = (reason.code(), reason.message());
    match holds {
        true if reason.is_planned() => tracing::info!(reason = code, "not ready: {message}"),
        true => tracing::warn!(reason = code, "not ready: {message}"),
        false if left.is_empty() => tracing::info!(reason = code, "ready again"),
        false => tracing::info!(reason = code, "no longer a reason for not being ready"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn readiness_certificate_check_runs_on_each_read() {
        let readiness = Readiness::default();
        let expired = Arc::new(AtomicBool::new(false));
        let check = expired.clone();
        readiness.set_certificate_check(move || {
            let expired = check.load(Ordering::Relaxed);
            expired.then_some(NotReadyReason::CertificateExpired)
        });
        let mut changes = readiness.subscribe();
        assert!(readiness.reasons().is_empty());
        expired.store(true, Ordering::Relaxed);
        let reasons = readiness.reasons();
        assert!(reasons.iter().eq([&NotReadyReason::CertificateExpired]));
        assert!(changes.has_changed().expect("the sender lives"));
        changes.mark_unchanged();
        expired.store(false, Ordering::Relaxed);
        assert!(readiness.reasons().is_empty());
        assert!(changes.has_changed().expect("the sender lives"));
    }

    #[test]
    fn not_ready_reasons_are_ordered_by_severity() {
        assert!(NotReadyReason::ALL.is_sorted());
        let planned = NotReadyReason::ALL.iter().map(|reason| reason.is_planned());
        assert!(planned.is_sorted(), "unplanned reasons come first");
    }
}
