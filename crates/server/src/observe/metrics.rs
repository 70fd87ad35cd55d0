//! Counters and histograms that are updated where an event happens, in one registry made at the start.
//!
//! No label holds a user, an address or a device, so the number of series does not depend on the load.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use graceful_protocol::Code;
use graceful_protocol::frame::RelayFrame;
use graceful_rules::command::Outcome;
use prometheus_client::collector::Collector;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper bounds of the duration buckets in seconds: from a fast disk to a stalled SD card.
const DURATION_BUCKETS_S: [f64; 14] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Codes of refusals, `Unspecified` included.
const CODES: usize = 28;

/// The prefix of every metric but those of the process.
const PREFIX: &str = "graceful_relay";

/// One label with a fixed set of values.
type Label = [(&'static str, &'static str); 1];

/// The reason why a connection was rejected or closed early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectReason {
    /// A limit per address.
    Address,
    /// Too many unauthenticated connections.
    Unauthenticated,
    /// `limits.connections_max`.
    Sessions,
    /// The relay is shutting down.
    Draining,
    /// Accepted, then closed in favor of another connection.
    Evicted,
    /// The origin is not in `server.allowed_origins`.
    Origin,
    /// The TLS handshake failed.
    Handshake,
    /// The PROXY protocol header was missing or malformed.
    ProxyHeader,
}

impl RejectReason {
    /// All reasons.
    pub const ALL: [Self; 8] = [
        Self::Address,
        Self::Unauthenticated,
        Self::Sessions,
        Self::Draining,
        Self::Evicted,
        Self::Origin,
        Self::Handshake,
        Self::ProxyHeader,
    ];

    /// The value of the label `reason`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Address => "per_ip",
            Self::Unauthenticated => "unauthenticated",
            Self::Sessions => "capacity",
            Self::Draining => "draining",
            Self::Evicted => "evicted",
            Self::Origin => "origin",
            Self::Handshake => "handshake",
            Self::ProxyHeader => "proxy_header",
        }
    }
}

/// All metrics of one relay.
pub struct Metrics {
    started: Instant,
    registry: Registry,
    errors: [Counter; CODES],
    rejected: [Counter; RejectReason::ALL.len()],
    push_duration: Histogram,
    commit_duration: Histogram,
    commands: Counter,
    /// Signed: a commit may be recorded before the command that it commits.
    queued: AtomicI64,
    backup_timestamp_s: Gauge,
    backup_bytes: Gauge,
    pub(crate) canary_ok: Counter,
    pub(crate) canary_error: Counter,
    /// Connections accepted, later rejected ones included.
    pub connections_accepted: Counter,
    /// Bytes received, TLS included.
    pub received_bytes: Counter,
    /// Bytes sent, TLS included.
    pub sent_bytes: Counter,
    /// Envelopes stored by pushes, without duplicates.
    pub pushed: Counter,
    /// Envelopes sent to devices.
    pub delivered: Counter,
    /// Envelopes that expired before every recipient acknowledged them.
    pub expired: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        registry.register(
            "build",
            "Version of the running program",
            prometheus_client::metrics::info::Info::new(version),
        );
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let connections_accepted = counter("connections_accepted", "Connections accepted");
        let received_bytes = counter("received_bytes", "Bytes received, TLS included");
        let sent_bytes = counter("sent_bytes", "Bytes sent, TLS included");
        let pushed = counter(
            "envelopes_pushed",
            "Envelopes stored by pushes, without duplicates",
        );
        let delivered = counter("envelopes_delivered", "Envelopes sent to devices");
        let expired = counter(
            "envelopes_expired",
            "Envelopes that expired before every recipient acknowledged them",
        );
        let commands = counter("commands_committed", "Commands committed");
        let mut family = |name: &str, help: &str| {
            let family = Family::<Label, Counter>::default();
            registry.register(name, help, family.clone());
            family
        };
        let errors = family("errors", "Errors sent to devices, by code");
        let rejected = family(
            "connections_rejected",
            "Connections rejected or closed early, by reason",
        );
        let canary = family("canary_runs", "Canary runs, by result");
        let mut histogram = |name: &str, help: &str| {
            let histogram = Histogram::new(DURATION_BUCKETS_S);
            registry.register(name, help, histogram.clone());
            histogram
        };
        let push_duration = histogram(
            "push_duration_seconds",
            "Time from the arrival of a push until it is on disk",
        );
        let commit_duration = histogram("commit_duration_seconds", "Duration of one commit");
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let backup_timestamp_s = gauge(
            "last_backup_timestamp_seconds",
            "Time of the last backup in seconds since 1970; 0 if there is none",
        );
        let backup_bytes = gauge("last_backup_bytes", "Size of the last backup in bytes");
        Self {
            started: Instant::now(),
            errors: std::array::from_fn(|number| match code(number) {
                // A device is never sent this code, so it has no series.
                Code::Unspecified => Counter::default(),
                code => errors.get_or_create_owned(&[("code", code.as_str_name())]),
            }),
            rejected: RejectReason::ALL
                .map(|reason| rejected.get_or_create_owned(&[("reason", reason.name())])),
            canary_ok: canary.get_or_create_owned(&[("result", "ok")]),
            canary_error: canary.get_or_create_owned(&[("result", "error")]),
            push_duration,
            commit_duration,
            commands,
            queued: AtomicI64::new(0),
            backup_timestamp_s,
            backup_bytes,
            connections_accepted,
            received_bytes,
            sent_bytes,
            pushed,
            delivered,
            expired,
            registry,
        }
    }
}

fn code(number: usize) -> Code {
    Code::try_from(i32::try_from(number).unwrap_or(0)).unwrap_or_default()
}

impl Metrics {
    /// Returns the time since the start.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Encodes all metrics, and what `sampled` measures now, as OpenMetrics text.
    ///
    /// # Errors
    /// [`fmt::Error`] of the encoder.
    pub fn encode(&self, sampled: impl Collector) -> Result<String, fmt::Error> {
        use prometheus_client::encoding::text::{encode_eof, encode_registry};
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        let mut scrape = Registry::default();
        scrape.register_collector(Box::new(sampled));
        encode_registry(&mut text, &scrape)?;
        encode_eof(&mut text)?;
        Ok(text)
    }

    /// Records a finished backup.
    pub fn record_backup(&self, timestamp_s: i64, bytes: u64) {
        self.backup_timestamp_s.set(timestamp_s);
        self.backup_bytes
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Counts an error that is sent to a device.
    pub fn record_refusal(&self, code: Code) {
        let number = usize::try_from(i32::from(code)).unwrap_or(0);
        self.errors.get(number).unwrap_or(&self.errors[0]).inc();
    }

    /// Counts a rejected connection.
    pub fn record_rejection(&self, reason: RejectReason) {
        self.rejected[reason as usize].inc();
    }

    /// Counts what an outgoing frame carries.
    pub(crate) fn record_frame(&self, frame: &RelayFrame) {
        match frame {
            RelayFrame::Refusal(refusal) => self.record_refusal(refusal.code()),
            RelayFrame::Deliver(deliver) => {
                self.delivered.inc_by(deliver.envelopes.len() as u64);
            }
            _ => {}
        }
    }

    /// Counts a command on its way to the writer.
    pub(crate) fn command_queued(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
    }

    /// Records one commit.
    pub(crate) fn record_commit(&self, commands: usize, duration: Duration) {
        self.commit_duration.observe(duration.as_secs_f64());
        self.commands.inc_by(commands as u64);
        let commands = i64::try_from(commands).unwrap_or(i64::MAX);
        self.queued.fetch_sub(commands, Ordering::Relaxed);
    }

    /// Returns the number of commands that are queued or being committed.
    pub fn commit_queue_length(&self) -> u64 {
        u64::try_from(self.queued.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Counts the outcome of a command; `push_duration` is set for a push.
    pub(crate) fn record_outcome(&self, outcome: &Outcome, push_duration: Option<Duration>) {
        match outcome {
            Outcome::Pushed(pushed) => {
                let stored = pushed.placements.iter().map(|run| u64::from(run.count));
                self.pushed.inc_by(stored.sum());
                if let Some(duration) = push_duration.filter(|_| pushed.through.is_some()) {
                    self.push_duration.observe(duration.as_secs_f64());
                }
            }
            Outcome::Swept { envelopes, .. } => {
                self.expired.inc_by(*envelopes);
            }
            _ => {}
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_each_error_code_has_its_own_counter() {
        let metrics = Metrics::default();
        let codes: Vec<Code> = (0..CODES)
            .filter_map(|number| Code::try_from(number as i32).ok())
            .collect();
        assert_eq!(codes.len(), CODES);
        assert!(
            Code::try_from(CODES as i32).is_err(),
            "CODES is one less than there are"
        );
        for code in &codes {
            metrics.record_refusal(*code);
        }
        assert!(metrics.errors.iter().all(|counter| counter.get() == 1));
    }

    #[test]
    fn metrics_reject_reasons_index_their_counters() {
        let metrics = Metrics::default();
        for (at, reason) in RejectReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at);
            metrics.record_rejection(reason);
        }
        assert!(metrics.rejected.iter().all(|counter| counter.get() == 1));
    }
}
