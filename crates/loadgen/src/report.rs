//! The report as data.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::accounts::Deleted;
use super::hints;
use super::load::Outcome;
use super::plan::{Mode, Plan};
use super::process::Used;
use super::stats::Summary;

/// One run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Version of the generator.
    version: &'static str,
    /// Version that the relay reports.
    relay: String,
    /// Whether the relay was started for the run.
    own_relay: bool,
    tls: bool,
    mode: Mode,
    accounts: usize,
    devices: usize,
    /// Open loop; absent in a closed one.
    rate_per_s: Option<f64>,
    /// Closed loop; absent in an open one.
    in_flight: Option<usize>,
    batch: u64,
    pub envelope_bytes: usize,
    warm_up_s: f64,
    pub duration_s: f64,
    /// Pushes sent, including the warm-up.
    pushed: u64,
    pub unanswered: u64,
    pub stored: Summary,
    pub delivered: Option<Summary>,
    /// Of envelopes stored, in a second, in millions.
    pub stored_mb_per_s: f64,
    /// Time from connecting to the greeting.
    pub connecting: Option<Connecting>,
    /// The relay's usage, if it runs on this machine.
    pub cost: Option<Cost>,
    /// Processors used by the generator.
    pub generator_processors: f64,
    deleted_accounts: u64,
    deleted_envelopes: u64,
    left_accounts: u64,
    pub notes: Vec<String>,
}

/// How long connections took.
#[derive(Debug, Serialize)]
pub struct Connecting {
    connections: u64,
    pub p50_us: u64,
    pub p99_us: u64,
    max_us: u64,
}

/// The relay's usage during the measurement.
#[derive(Debug, Serialize)]
pub struct Cost {
    pub processors: f64,
    /// Absent if nothing was stored.
    pub cpu_us_per_push: Option<f64>,
    pub resident_bytes: u64,
    pub resident_bytes_max: u64,
    /// Increase since before the devices connected, per device.
    pub resident_bytes_per_connection: Option<i64>,
    pub written_bytes: u64,
    /// Bytes written for each byte of an envelope.
    pub written_per_payload_byte: Option<f64>,
}

/// Context of the outcome.
pub struct Around<'a> {
    pub plan: &'a Plan,
    pub software: String,
    pub own_relay: bool,
    pub tls: bool,
    pub envelope_bytes: usize,
    pub connecting: &'a [Duration],
    /// Of the relay, before any device connected.
    pub at_rest: Option<Used>,
    pub deleted: Deleted,
}

/// Builds the report.
pub fn report(outcome: &Outcome, around: Around<'_>) -> Report {
    let Around {
        plan,
        envelope_bytes,
        deleted,
        ..
    } = around;
    let stored = outcome.stored.clone();
    let idle = plan.mode == Mode::Idle;
    Report {
        version: env!("CARGO_PKG_VERSION"),
        relay: around.software,
        own_relay: around.own_relay,
        tls: around.tls,
        mode: plan.mode,
        accounts: plan.accounts,
        devices: plan.devices,
        rate_per_s: plan.rate.filter(|_| !idle),
        in_flight: (plan.rate.is_none() && !idle).then_some(plan.in_flight),
        batch: plan.batch,
        envelope_bytes,
        warm_up_s: plan.warm_up.as_secs_f64(),
        duration_s: plan.duration.as_secs_f64(),
        pushed: outcome.pushed,
        unanswered: outcome.unanswered,
        stored_mb_per_s: stored.per_s * envelope_bytes as f64 / 1e6,
        delivered: outcome.delivered.clone(),
        connecting: connecting(around.connecting),
        cost: outcome.relay.map(|(used, before)| {
            let connected = around.at_rest.map(|rest| (before, rest));
            cost(&used, connected, plan, stored.measured, envelope_bytes)
        }),
        generator_processors: outcome.generator.processors(plan.duration),
        deleted_accounts: deleted.accounts,
        deleted_envelopes: deleted.envelopes,
        left_accounts: deleted.left,
        notes: notes(outcome, plan, around.own_relay, envelope_bytes),
        stored,
    }
}

fn cost(
    used: &Used,
    connected: Option<(Used, Used)>,
    plan: &Plan,
    stored: u64,
    envelope_bytes: usize,
) -> Cost {
    let each = |whole: f64, parts: u64| (parts > 0).then(|| whole / parts as f64);
    let payload_bytes = stored * envelope_bytes as u64;
    let grown = connected.map(|(now, rest)| {
        let grown = i64::try_from(now.resident_bytes).unwrap_or(0)
            - i64::try_from(rest.resident_bytes).unwrap_or(0);
        grown / i64::try_from(plan.connections()).unwrap_or(i64::MAX)
    });
    Cost {
        processors: used.processors(plan.duration),
        cpu_us_per_push: each(used.cpu_us as f64, stored),
        resident_bytes: used.resident_bytes,
        resident_bytes_max: used.resident_bytes_max,
        resident_bytes_per_connection: grown,
        written_bytes: used.written_bytes,
        written_per_payload_byte: each(used.written_bytes as f64, payload_bytes),
    }
}

/// Above the connect timeout.
const CONNECTING_US_MAX: u64 = 600_000_000;

fn connecting(times: &[Duration]) -> Option<Connecting> {
    let mut histogram = Histogram::<u64>::new_with_bounds(1, CONNECTING_US_MAX, 3).ok()?;
    for time in times {
        histogram.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1));
    }
    let at = |quantile| histogram.value_at_quantile(quantile);
    (!times.is_empty()).then(|| Connecting {
        connections: histogram.len(),
        p50_us: at(0.5),
        p99_us: at(0.99),
        max_us: histogram.max(),
    })
}

/// Above this fraction of all processors, the generator may limit the measurement.
const GENERATOR_PROCESSORS_PART: f64 = 0.6;

fn notes(outcome: &Outcome, plan: &Plan, own_relay: bool, envelope_bytes: usize) -> Vec<String> {
    let mut notes = Vec::new();
    if !own_relay && plan.mode != Mode::Idle {
        let per_s = outcome.stored.per_s;
        notes.extend(hints::suspicion(plan, envelope_bytes as u64, per_s));
    }
    if outcome.unanswered > 0 {
        notes.push(format!(
            "{} scheduled pushes were not answered in time and count with that latency; the relay did not keep \
             up with --rate",
            outcome.unanswered
        ));
    }
    let processors = std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
    let busy = outcome.generator.processors(plan.duration);
    if busy > processors * GENERATOR_PROCESSORS_PART {
        notes.push(format!(
            "the generator used {busy:.1} of {processors} processors; run it on another machine"
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connecting_takes_as_long_as_it_took() {
        let times: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        let said = connecting(&times).expect("some");
        assert_eq!(said.connections, 100);
        assert!(
            said.p50_us.abs_diff(50_000) < 100 && said.max_us.abs_diff(100_000) < 100,
            "{said:?}"
        );
        assert!(connecting(&[]).is_none());
    }
}
