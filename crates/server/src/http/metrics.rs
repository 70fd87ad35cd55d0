//! What is counted, as Prometheus reads it: OpenMetrics 1.0. Every metric is described in
//! `docs/reference/metrics.md`, and a test holds that list to this one.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::ServerState;
use super::tls::wall_s;
use crate::relay::{DURATION_BUCKETS_S, Histogram, StatsSnapshot};
use graceful_protocol::Code;

/// One metric at one moment.
#[derive(Debug)]
struct Metric {
    name: &'static str,
    help: &'static str,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Counter(f64),
    Gauge(f64),
    /// By the values of one label.
    Counters(&'static str, Vec<(String, u64)>),
    Info(&'static str, &'static str),
    Histogram {
        sum: f64,
        buckets: Vec<(f64, u64)>,
    },
}

/// All of them.
#[derive(Debug)]
struct Picture(Vec<Metric>);

/// The text that a scrape is answered with.
pub(super) async fn written(state: &ServerState) -> Result<String, String> {
    let stats = state
        .relay
        .stats()
        .await
        .map_err(|error| error.to_string())?;
    let mut picture = Picture(Vec::new());
    picture.relay(state, state.relay.check_readiness().await.is_empty());
    picture.traffic(state);
    picture.kept(state, &stats);
    picture.process(state, &stats);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(picture));
    let mut written = String::new();
    text::encode(&mut written, &registry).map_err(|error| error.to_string())?;
    Ok(written)
}

impl Picture {
    fn add(&mut self, name: &'static str, help: &'static str, value: Value) {
        self.0.push(Metric { name, help, value });
    }

    fn gauge(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.add(name, help, Value::Gauge(value));
    }

    fn counter(&mut self, name: &'static str, help: &'static str, count: u64) {
        self.add(name, help, Value::Counter(count as f64));
    }

    fn relay(&mut self, state: &ServerState, ready: bool) {
        let metrics = state.relay.metrics();
        let canary = state.relay.canary();
        let trial = canary.last_result();
        let version = Value::Info("version", env!("CARGO_PKG_VERSION"));
        self.add("graceful_relay_build", "The version that runs", version);
        let uptime_s = metrics.uptime().as_secs_f64();
        self.gauge(
            "graceful_relay_uptime_seconds",
            "Since the relay was started",
            uptime_s,
        );
        let draining = state.draining.is_cancelled();
        self.gauge(
            "graceful_relay_ready",
            "1 while devices should come, as /health/ready says",
            number(ready),
        );
        self.gauge(
            "graceful_relay_draining",
            "1 from the moment it is told to stop",
            number(draining),
        );
        let trials = vec![
            ("ok".to_owned(), canary.succeeded.count()),
            ("error".to_owned(), canary.failed.count()),
        ];
        self.add(
            "graceful_relay_canary_runs",
            "Trials of itself, by result",
            Value::Counters("result", trials),
        );
        let took_s = trial.duration.as_secs_f64();
        self.gauge(
            "graceful_relay_canary_duration_seconds",
            "How long the last good trial took",
            took_s,
        );
        let last_ok_s = trial.last_ok_s as f64;
        self.gauge(
            "graceful_relay_canary_last_success_timestamp_seconds",
            "When the last good trial ended",
            last_ok_s,
        );
        if let Some(tls) = &state.tls {
            let expires_s = tls.status().certificate_expires_s.unwrap_or(0) as f64;
            let help = "When the certificate in use ends; 0 while there is none";
            self.gauge(
                "graceful_relay_certificate_expiry_timestamp_seconds",
                help,
                expires_s,
            );
        }
    }

    fn traffic(&mut self, state: &ServerState) {
        let metrics = state.relay.metrics();
        let open = state.admission.count() as f64;
        self.gauge(
            "graceful_relay_connections",
            "Connections open now, of any kind",
            open,
        );
        let conversations = state.relay.connections() as f64;
        self.gauge(
            "graceful_relay_sessions",
            "Conversations with devices open now",
            conversations,
        );
        let [large, large_max] = state.budget.in_use().map(|bytes| bytes as f64);
        let help = "Memory that large frames on their way have taken";
        self.gauge("graceful_relay_frame_buffer_bytes", help, large);
        let help = "How much they may take: with more, the next are read later";
        self.gauge("graceful_relay_frame_buffer_max_bytes", help, large_max);
        self.counter(
            "graceful_relay_connections_accepted",
            "Connections begun",
            metrics.connections_accepted.count(),
        );
        let away = metrics
            .rejections()
            .map(|(why, count)| (why.name().to_owned(), count))
            .collect();
        let help = "Connections not let in, or not kept, by reason";
        self.add(
            "graceful_relay_connections_rejected",
            help,
            Value::Counters("reason", away),
        );
        self.counter(
            "graceful_relay_received_bytes",
            "Bytes received, TLS included",
            metrics.received_bytes.count(),
        );
        self.counter(
            "graceful_relay_sent_bytes",
            "Bytes sent, TLS included",
            metrics.sent_bytes.count(),
        );
        let refusals = metrics
            .refusals()
            .filter(|(code, _)| *code != Code::Unspecified);
        let refusals = refusals
            .map(|(code, count)| (code.as_str_name().to_owned(), count))
            .collect();
        let help = "Refusals said to devices, by code";
        self.add(
            "graceful_relay_errors",
            help,
            Value::Counters("code", refusals),
        );
        let help = "From a push's arrival until it is on disk";
        self.add(
            "graceful_relay_push_duration_seconds",
            help,
            histogram(&metrics.push_duration),
        );
        let help = "Envelopes kept; repeats are not counted again";
        self.counter(
            "graceful_relay_envelopes_pushed",
            help,
            metrics.pushed.count(),
        );
        self.counter(
            "graceful_relay_envelopes_delivered",
            "Envelopes sent to devices",
            metrics.delivered.count(),
        );
        let help = "Envelopes that expired before every device had them";
        self.counter(
            "graceful_relay_envelopes_expired",
            help,
            metrics.expired.count(),
        );
    }

    fn kept(&mut self, state: &ServerState, stats: &StatsSnapshot) {
        let metrics = state.relay.metrics();
        let help = "One commit, from the decision to the disk";
        self.add(
            "graceful_relay_commit_duration_seconds",
            help,
            histogram(&metrics.commit_duration),
        );
        self.counter(
            "graceful_relay_commands_committed",
            "Changes committed",
            metrics.changes.count(),
        );
        let waiting = metrics.commit_queue_length() as f64;
        self.gauge(
            "graceful_relay_commit_queue_length",
            "Changes that wait for the writer",
            waiting,
        );
        self.gauge(
            "graceful_relay_accounts",
            "Accounts that exist",
            stats.accounts as f64,
        );
        self.gauge(
            "graceful_relay_envelopes",
            "Envelopes kept now",
            stats.envelopes as f64,
        );
        let oldest_s = stats.oldest_envelope_s as f64;
        self.gauge(
            "graceful_relay_oldest_envelope_age_seconds",
            "Age of the oldest envelope; 0: none",
            oldest_s,
        );
        self.gauge(
            "graceful_relay_store_bytes",
            "Size of the store's file",
            stats.store_bytes as f64,
        );
        if let Some(free_bytes) = stats.disk_free_bytes {
            self.gauge(
                "graceful_relay_disk_free_bytes",
                "Free on the store's disk",
                free_bytes as f64,
            );
        }
        let min_bytes = stats.disk_free_bytes_min as f64;
        let help = "With fewer bytes free, nothing new is kept";
        self.gauge("graceful_relay_disk_free_min_bytes", help, min_bytes);
        let [at_s, bytes] = state
            .relay
            .metrics()
            .last_backup()
            .map(|number| number as f64);
        let help = "When the last backup was made; 0: none yet";
        self.gauge("graceful_relay_last_backup_timestamp_seconds", help, at_s);
        self.gauge(
            "graceful_relay_last_backup_bytes",
            "Size of the last backup",
            bytes,
        );
    }

    fn process(&mut self, state: &ServerState, stats: &StatsSnapshot) {
        let Some(process) = stats.process else {
            return;
        };
        let cpu = Value::Counter(process.cpu_s);
        self.add("process_cpu_seconds", "Processor time of all threads", cpu);
        let memory = process.memory_bytes as f64;
        self.gauge(
            "process_resident_memory_bytes",
            "Memory that is really there",
            memory,
        );
        self.gauge(
            "process_open_fds",
            "Open files, sockets among them",
            process.open_files as f64,
        );
        if let Some(files_max) = process.open_files_max {
            self.gauge(
                "process_max_fds",
                "Files that may be open",
                files_max as f64,
            );
        }
        self.gauge("process_threads", "Threads", process.threads as f64);
        let started_s = wall_s() as f64 - state.relay.metrics().uptime().as_secs_f64();
        self.gauge(
            "process_start_time_seconds",
            "When it was started",
            started_s.round(),
        );
    }
}

fn number(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}

fn histogram(times: &Histogram) -> Value {
    let bounds = DURATION_BUCKETS_S.into_iter().chain([f64::INFINITY]);
    Value::Histogram {
        sum: times.sum_s(),
        buckets: bounds.zip(times.counts()).collect(),
    }
}

impl Collector for Picture {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for metric in &self.0 {
            let kind = metric.value.metric_type();
            let encoder = encoder.encode_descriptor(metric.name, metric.help, None, kind)?;
            metric.value.encode(encoder)?;
        }
        Ok(())
    }
}

impl EncodeMetric for Value {
    fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        match self {
            Self::Counter(count) => encoder.encode_counter::<NoLabelSet, _, f64>(count, None),
            Self::Gauge(value) => encoder.encode_gauge(value),
            Self::Info(label, value) => encoder.encode_info(&[(*label, *value)]),
            Self::Counters(label, counts) => counts.iter().try_for_each(|(value, count)| {
                let labels = [(*label, value.as_str())];
                encoder
                    .encode_family(&labels)?
                    .encode_counter::<NoLabelSet, _, f64>(count, None)
            }),
            Self::Histogram { sum, buckets } => {
                let count = buckets.iter().map(|(_, count)| count).sum();
                encoder.encode_histogram::<NoLabelSet>(*sum, count, buckets, None)
            }
        }
    }

    fn metric_type(&self) -> MetricType {
        match self {
            Self::Counter(_) | Self::Counters(..) => MetricType::Counter,
            Self::Gauge(_) => MetricType::Gauge,
            Self::Info(..) => MetricType::Info,
            Self::Histogram { .. } => MetricType::Histogram,
        }
    }
}
