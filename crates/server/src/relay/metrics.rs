//! What is counted while the relay works: numbers only, each counted where it happens. No number is
//! kept for a user, an address or a device, so there are as many of them on a busy relay as on an idle one.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use graceful_protocol::Code;
use graceful_protocol::frame::RelayFrame;
use graceful_rules::command::Outcome;

/// Upper bounds of the buckets of times, in seconds: fine enough for p50, p95 and p99 from a fast disk
/// to an SD card that has a bad moment.
pub const DURATION_BUCKETS_S: [f64; 14] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Codes of refusals, the unspecified among them.
const CODES: usize = 28;

/// One number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Once more.
    pub fn increase(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Since the start.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How long things took.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One for each bound, and one for what took longer.
    buckets: [Counter; DURATION_BUCKETS_S.len() + 1],
    sum_ns: Counter,
}

impl Histogram {
    /// Something took so long.
    pub fn observe(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let bucket = DURATION_BUCKETS_S
            .iter()
            .position(|bound| seconds <= *bound);
        self.buckets[bucket.unwrap_or(DURATION_BUCKETS_S.len())].increase();
        self.sum_ns
            .add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// How often, by bucket; the last has no bound.
    pub fn counts(&self) -> [u64; DURATION_BUCKETS_S.len() + 1] {
        std::array::from_fn(|bucket| self.buckets[bucket].count())
    }

    /// All of them together, in seconds.
    pub fn sum_s(&self) -> f64 {
        Duration::from_nanos(self.sum_ns.count()).as_secs_f64()
    }
}

/// Why a connection was not let in, or not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectReason {
    /// Its address began too many, or has too many.
    Address,
    /// Too many had not said who they are.
    Unauthenticated,
    /// As many conversations as there may be.
    Sessions,
    /// The relay is about to stop.
    Draining,
    /// It was let in, and made room for another.
    Evicted,
    /// A page of another origin.
    Origin,
    /// The TLS handshake failed.
    Handshake,
    /// A proxy did not say who calls.
    ProxyHeader,
}

impl RejectReason {
    /// All of them.
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

    /// As it stands in a label.
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

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    started: Instant,
    refusals: [Counter; CODES],
    rejected: [Counter; RejectReason::ALL.len()],
    /// From the push's arrival to the moment at which it is on disk.
    pub push_duration: Histogram,
    /// One commit, from the decision to the disk.
    pub commit_duration: Histogram,
    /// Changes in all commits together.
    pub changes: Counter,
    /// Changes that wait for the writer or are in its hands.
    waiting: AtomicI64,
    /// Connections accepted, turned away or not.
    pub connections_accepted: Counter,
    /// Bytes from and to connections, TLS included.
    pub received_bytes: Counter,
    /// The same, out.
    pub sent_bytes: Counter,
    /// Envelopes that were pushed and kept; repeats are not counted again.
    pub pushed: Counter,
    /// Envelopes sent to devices.
    pub delivered: Counter,
    /// Envelopes that nobody fetched in time.
    pub expired: Counter,
    /// When the last backup was made, in seconds since 1970, and its bytes.
    backup: [AtomicI64; 2],
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            refusals: Default::default(),
            rejected: Default::default(),
            push_duration: Histogram::default(),
            commit_duration: Histogram::default(),
            changes: Counter::default(),
            waiting: AtomicI64::new(0),
            connections_accepted: Counter::default(),
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
            pushed: Counter::default(),
            delivered: Counter::default(),
            expired: Counter::default(),
            backup: Default::default(),
        }
    }
}

impl Metrics {
    /// Since the start.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// A backup was made.
    pub fn record_backup(&self, at_s: i64, bytes: u64) {
        self.backup[0].store(at_s, Ordering::Relaxed);
        self.backup[1].store(i64::try_from(bytes).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// When the last backup was made, in seconds since 1970, and its bytes; 0: there is none.
    pub fn last_backup(&self) -> [i64; 2] {
        [0, 1].map(|at: usize| self.backup[at].load(Ordering::Relaxed))
    }

    /// A refusal is said.
    pub fn record_refusal(&self, code: Code) {
        let number = usize::try_from(i32::from(code)).unwrap_or(0);
        self.refusals
            .get(number)
            .unwrap_or(&self.refusals[0])
            .increase();
    }

    /// How often each code was said.
    pub fn refusals(&self) -> impl Iterator<Item = (Code, u64)> {
        let code = |number| Code::try_from(i32::try_from(number).unwrap_or(0)).unwrap_or_default();
        self.refusals
            .iter()
            .enumerate()
            .map(move |(number, count)| (code(number), count.count()))
    }

    /// Somebody was not let in, or not kept.
    pub fn record_rejection(&self, why: RejectReason) {
        self.rejected[RejectReason::ALL
            .iter()
            .position(|known| *known == why)
            .unwrap_or(0)]
        .increase();
    }

    /// How often for each reason.
    pub fn rejections(&self) -> impl Iterator<Item = (RejectReason, u64)> {
        RejectReason::ALL
            .into_iter()
            .zip(self.rejected.iter().map(Counter::count))
    }

    /// A frame goes out.
    pub(super) fn record_frame(&self, frame: &RelayFrame) {
        match frame {
            RelayFrame::Refusal(refusal) => self.record_refusal(refusal.code()),
            RelayFrame::Deliver(deliver) => self.delivered.add(deliver.envelopes.len() as u64),
            _ => {}
        }
    }

    /// A change goes to the writer.
    pub(super) fn command_queued(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// So many were committed together.
    pub(super) fn record_commit(&self, changes: usize, time: Duration) {
        self.commit_duration.observe(time);
        self.changes.add(changes as u64);
        let changes = i64::try_from(changes).unwrap_or(i64::MAX);
        self.waiting.fetch_sub(changes, Ordering::Relaxed);
    }

    /// Changes that wait for the writer or are in its hands.
    pub fn commit_queue_length(&self) -> u64 {
        // A commit may be counted in the same moment as what it commits.
        u64::try_from(self.waiting.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// What came of a change; of a push also how long that took.
    pub(super) fn record_outcome(&self, outcome: &Outcome, took: Option<Duration>) {
        match outcome {
            Outcome::Pushed(pushed) => {
                let kept: u64 = pushed
                    .placements
                    .iter()
                    .map(|place| u64::from(place.count))
                    .sum();
                self.pushed.add(kept);
                if let Some(took) = took.filter(|_| pushed.through.is_some()) {
                    self.push_duration.observe(took);
                }
            }
            Outcome::Swept { envelopes, .. } => self.expired.add(*envelopes),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_a_place_of_its_own() {
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
        assert!(metrics.refusals().map(|(code, _)| code).eq(codes));
        assert!(metrics.refusals().all(|(_, count)| count == 1));
    }

    #[test]
    fn a_time_falls_into_the_first_bucket_that_holds_it() {
        let times = Histogram::default();
        for time_ms in [1, 100, 101, 60_000] {
            times.observe(Duration::from_millis(time_ms));
        }
        let counts = times.counts();
        assert_eq!((counts[1], counts[7], counts[8], counts[14]), (1, 1, 1, 1));
        assert!((times.sum_s() - 60.202).abs() < 1e-9);
    }
}
