//! `/metrics` in OpenMetrics 1.0: the registry, and gauges that are measured at each scrape. A test compares the
//! names with the reference page.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::ServerState;
use crate::net::tls::wall_s;
use crate::observe::ProcessStats;
use crate::relay::StatsSnapshot;

/// Responds to a scrape.
pub(super) async fn encode(state: &ServerState) -> Result<String, String> {
    let stats = state.relay.stats().await;
    let stats = stats.map_err(|error| error.to_string())?;
    let is_ready = state.relay.check_readiness().await.is_empty();
    let mut sampled = Sampled(Vec::new());
    sampled.relay(state, is_ready);
    sampled.connections(state);
    sampled.store(&stats);
    if let Some(process) = &stats.process {
        sampled.process(state, process);
    }
    let text = state.relay.metrics().encode(sampled);
    text.map_err(|error| error.to_string())
}

/// One sample: name, help and value.
#[derive(Debug)]
struct Sample {
    name: &'static str,
    help: &'static str,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Gauge(f64),
    Counter(f64),
}

/// The gauges of one scrape. Some exist only where the system or the configuration has them.
#[derive(Debug)]
struct Sampled(Vec<Sample>);

impl Sampled {
    fn gauge(&mut self, name: &'static str, help: &'static str, value: f64) {
        let value = Value::Gauge(value);
        self.0.push(Sample { name, help, value });
    }

    fn relay(&mut self, state: &ServerState, is_ready: bool) {
        let canary = state.relay.canary().last_result();
        let is_draining = state.draining.is_cancelled();
        self.gauge(
            "graceful_relay_uptime_seconds",
            "Time since the start in seconds.",
            state.relay.metrics().uptime().as_secs_f64(),
        );
        self.gauge(
            "graceful_relay_ready",
            "Whether the relay is ready, as /health/ready reports: 1 or 0.",
            f64::from(u8::from(is_ready)),
        );
        self.gauge(
            "graceful_relay_draining",
            "Whether the relay is shutting down: 1 or 0.",
            f64::from(u8::from(is_draining)),
        );
        self.gauge(
            "graceful_relay_canary_duration_seconds",
            "Duration of the last successful canary run in seconds.",
            canary.duration.as_secs_f64(),
        );
        self.gauge(
            "graceful_relay_canary_last_success_timestamp_seconds",
            "Time of the last successful canary run in seconds since 1970; 0 if there is none.",
            canary.last_ok_s as f64,
        );
        if let Some(tls) = &state.tls {
            self.gauge(
                "graceful_relay_certificate_expiry_timestamp_seconds",
                "Expiry of the TLS certificate in seconds since 1970; 0 if there is none.",
                tls.status().certificate_expires_s.unwrap_or(0) as f64,
            );
        }
    }

    fn connections(&mut self, state: &ServerState) {
        self.gauge(
            "graceful_relay_connections",
            "Open connections of any kind.",
            state.admission.count() as f64,
        );
        self.gauge(
            "graceful_relay_sessions",
            "Open sessions of devices.",
            state.relay.connections() as f64,
        );
        let [used, max] = state.budget.in_use().map(|bytes| bytes as f64);
        self.gauge(
            "graceful_relay_frame_buffer_bytes",
            "Memory reserved for large frames in transit in bytes.",
            used,
        );
        self.gauge(
            "graceful_relay_frame_buffer_max_bytes",
            "Limit of that memory in bytes; frames above it wait.",
            max,
        );
        self.gauge(
            "graceful_relay_commit_queue_length",
            "Commands that wait for the writer.",
            state.relay.metrics().commit_queue_length() as f64,
        );
    }

    fn store(&mut self, stats: &StatsSnapshot) {
        self.gauge(
            "graceful_relay_accounts",
            "Accounts.",
            stats.accounts as f64,
        );
        self.gauge(
            "graceful_relay_envelopes",
            "Stored envelopes.",
            stats.envelopes as f64,
        );
        self.gauge(
            "graceful_relay_oldest_envelope_age_seconds",
            "Age of the oldest stored envelope in seconds; 0 if there is none.",
            stats.oldest_envelope_s as f64,
        );
        self.gauge(
            "graceful_relay_store_bytes",
            "Size of the store file in bytes.",
            stats.store_bytes as f64,
        );
        if let Some(free_bytes) = stats.disk_free_bytes {
            self.gauge(
                "graceful_relay_disk_free_bytes",
                "Free disk space in bytes.",
                free_bytes as f64,
            );
        }
        self.gauge(
            "graceful_relay_disk_free_min_bytes",
            "Free disk space below which new envelopes are rejected, in bytes.",
            stats.disk_free_bytes_min as f64,
        );
    }

    fn process(&mut self, state: &ServerState, process: &ProcessStats) {
        self.0.push(Sample {
            name: "process_cpu_seconds",
            help: "User and system CPU time in seconds.",
            value: Value::Counter(process.cpu_s),
        });
        self.gauge(
            "process_resident_memory_bytes",
            "Resident memory in bytes.",
            process.memory_bytes as f64,
        );
        self.gauge(
            "process_open_fds",
            "Open file descriptors.",
            process.open_files as f64,
        );
        if let Some(files_max) = process.open_files_max {
            self.gauge(
                "process_max_fds",
                "Maximum number of open file descriptors.",
                files_max as f64,
            );
        }
        self.gauge("process_threads", "Threads.", process.threads as f64);
        let started_s = wall_s() as f64 - state.relay.metrics().uptime().as_secs_f64();
        self.gauge(
            "process_start_time_seconds",
            "Start of the process in seconds since 1970.",
            started_s.round(),
        );
    }
}

impl Collector for Sampled {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for Sample { name, help, value } in &self.0 {
            match value {
                Value::Gauge(value) => {
                    encode_one(&mut encoder, name, help, &ConstGauge::new(*value))
                }
                Value::Counter(value) => {
                    encode_one(&mut encoder, name, help, &ConstCounter::new(*value))
                }
            }?;
        }
        Ok(())
    }
}

fn encode_one(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    let encoder = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
    metric.encode(encoder)
}
