//! The generated part of the page: a table and a chart per scenario, medians of the rounds.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use graceful_loadgen::chart::{Chart, svg};

use crate::block;
use crate::peers::Kind;
use crate::{Raw, Record};

/// A column: its name in the raw numbers, its heading and its format.
struct Column(&'static str, &'static str, fn(f64) -> String);

struct Section {
    scenario: &'static str,
    title: &'static str,
    text: &'static str,
    columns: &'static [Column],
    /// The plotted column; `None`: no chart.
    drawn: Option<&'static str>,
}

fn whole(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 && digits.as_bytes()[at - 1].is_ascii_digit() {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn one(value: f64) -> String {
    format!("{value:.1}")
}

fn ms(us: f64) -> String {
    if us.abs() < 10_000.0 {
        format!("{:.2} ms", us / 1e3)
    } else {
        format!("{:.1} ms", us / 1e3)
    }
}

fn microseconds(value: f64) -> String {
    format!("{value:.0} µs")
}

fn percent(value: f64) -> String {
    format!("{:.0} %", value * 100.0)
}

const PER_S: Column = Column("per_s", "pushes/s", whole);
const MB: Column = Column("mb_per_s", "MB/s", one);
const P50: Column = Column("p50_us", "p50", ms);
const P99: Column = Column("p99_us", "p99", ms);
const CPU: Column = Column("server_cpu_us", "server CPU per push", microseconds);
const LOAD_CPU: Column = Column("generator_cpu_us", "load CPU per push", microseconds);
const WRITTEN: Column = Column("device_written_per_byte", "written ÷ payload", one);
const PUSH: &[Column] = &[PER_S, P50, P99, CPU, LOAD_CPU, WRITTEN];
const DELIVER: &[Column] = &[
    Column("rate", "pushes/s", whole),
    P50,
    P99,
    Column("delivered_p50_us", "delivered p50", ms),
    Column("delivered_p99_us", "delivered p99", ms),
    Column("between_p50_us", "p50 between", ms),
    Column("delivered_part", "delivered", percent),
    CPU,
];

const SECTIONS: &[Section] = &[
    Section {
        scenario: "machine",
        title: "The machine itself",
        text: "The lower bound: each push ends with a sync of the disk, and goes over loopback and through TLS.",
        columns: &[PER_S, P50, MB],
        drawn: None,
    },
    Section {
        scenario: "push-1",
        title: "Durable pushes of 1 KiB, 1 connection",
        text: "One push in flight, so latency decides. The disk alone, in the same turns, appends and syncs as much.",
        columns: &[PER_S, P50, P99, CPU, LOAD_CPU, WRITTEN],
        drawn: Some("per_s"),
    },
    Section {
        scenario: "push-64",
        title: "Durable pushes of 1 KiB, 64 connections",
        text: "One push in flight on each connection.",
        columns: PUSH,
        drawn: Some("per_s"),
    },
    Section {
        scenario: "push-1000",
        title: "Durable pushes of 1 KiB, 1,000 connections",
        text: "One push in flight on each connection, each with its own account (stream, subject, topic).",
        columns: PUSH,
        drawn: Some("per_s"),
    },
    Section {
        scenario: "large",
        title: "Durable pushes of 1 MiB, 4 connections",
        text: "One push in flight on each connection.",
        columns: &[MB, P50, P99, CPU, LOAD_CPU, WRITTEN],
        drawn: Some("mb_per_s"),
    },
    Section {
        scenario: "batch",
        title: "Batches: 4 connections, 500 changes of 1 KiB in a frame",
        text: "As the client library sends when its outbox is full. For comparison redb, the store inside, alone.",
        columns: &[PER_S, MB, P50, CPU, LOAD_CPU, WRITTEN],
        drawn: Some("per_s"),
    },
    Section {
        scenario: "deliver-200",
        title: "Delivered to another device, 200 pushes per second",
        text: "Open loop over 8 accounts: latencies count from the scheduled time of a push. \"Between\" is the p50 of delivery minus that of storing.",
        columns: DELIVER,
        drawn: Some("delivered_p50_us"),
    },
    Section {
        scenario: "deliver-half",
        title: "Delivered to another device, at half load",
        text: "Open loop over 64 accounts, at half of the same server's closed-loop rate with these devices.",
        columns: DELIVER,
        drawn: Some("delivered_p50_us"),
    },
    Section {
        scenario: "idle",
        title: "Idle connections over TLS",
        text: "Resident memory of each, and the increase after a message of 1 MiB went through it. Redis holds the message itself in memory.",
        columns: &[
            Column("connections", "connections", whole),
            Column("resident_kb_each", "kB each", one),
            Column("resident_kb_after_message", "kB added by 1 MiB", one),
            Column("connected_per_s", "connects/s", whole),
        ],
        drawn: Some("resident_kb_each"),
    },
    Section {
        scenario: "start",
        title: "Start with an empty store",
        text: "",
        columns: &[
            Column("ready_ms", "ready after, ms", one),
            Column("resident_mb", "memory, MB", one),
        ],
        drawn: None,
    },
    Section {
        scenario: "reopen",
        title: "Start after a crash",
        text: "Filled with payloads of 64 KB, killed during pushes, started again.",
        columns: &[
            Column("filled_mb", "payload, MB", whole),
            Column("file_mb", "on disk, MB", whole),
            Column("ready_ms", "ready after, ms", one),
        ],
        drawn: Some("ready_ms"),
    },
];

pub fn write(raw: &Raw, out: &Path) -> Result<()> {
    let mut measured = preamble(raw)?;
    for section in SECTIONS {
        measured += &draw(section, raw, out)?;
    }
    block::replace(&out.with_extension("md"), "benches/compare/run", &measured)
}

fn preamble(raw: &Raw) -> Result<String> {
    let rounds = raw
        .records
        .iter()
        .map(|record| record.round + 1)
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    writeln!(
        text,
        "\nMeasured on {} on a machine with {}: medians of at most {} {} of {} s.\n",
        raw.date,
        raw.machine,
        rounds,
        if rounds == 1 { "round" } else { "rounds" },
        raw.seconds
    )?;
    writeln!(
        text,
        "| | version | settings | what its acknowledgement guarantees |\n|---|---|---|---|"
    )?;
    for kind in Kind::ALL {
        let version = raw.versions.iter().find(|(name, _)| name == kind.name());
        let version = version.map_or("", |(_, version)| version.as_str());
        let (settings, promise) = kind.peer().map_or(
            (
                "defaults, limits per address and account off",
                "the envelope is on disk, and with it seq, quota and push number",
            ),
            |peer| (peer.settings, peer.promise),
        );
        writeln!(
            text,
            "| {} | {version} | {settings} | {promise} |",
            kind.name()
        )?;
    }
    Ok(text)
}

/// The lower median.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied()
}

fn draw(section: &Section, raw: &Raw, out: &Path) -> Result<String> {
    let records: Vec<&Record> = raw
        .records
        .iter()
        .filter(|record| record.scenario == section.scenario)
        .collect();
    let mut contenders: Vec<&str> = Vec::new();
    for record in &records {
        if !contenders.contains(&record.contender.as_str()) {
            contenders.push(&record.contender);
        }
    }
    if contenders.is_empty() {
        return Ok(String::new());
    }
    let value = |contender: &str, name: &str| {
        let found = records
            .iter()
            .filter(|record| record.contender == contender);
        median(
            found
                .filter_map(|record| record.values.get(name).copied())
                .collect(),
        )
    };
    let mut text = format!("\n### {}\n\n", section.title);
    if !section.text.is_empty() {
        writeln!(text, "{}\n", section.text)?;
    }
    let headings: Vec<_> = section.columns.iter().map(|column| column.1).collect();
    writeln!(
        text,
        "| | {} |\n|---|{}",
        headings.join(" | "),
        "---|".repeat(headings.len())
    )?;
    for contender in &contenders {
        let cells = section.columns.iter().map(|Column(name, _, written)| {
            value(contender, name).map_or_else(|| "–".to_owned(), written)
        });
        writeln!(
            text,
            "| {contender} | {} |",
            cells.collect::<Vec<_>>().join(" | ")
        )?;
    }
    if let Some(drawn) = section.drawn {
        let column = section
            .columns
            .iter()
            .find(|column| column.0 == drawn)
            .context("a column that is there")?;
        let bars = contenders.iter().filter_map(|contender| {
            let value = value(contender, drawn)?;
            Some(((*contender).to_owned(), value, (column.2)(value)))
        });
        let chart = Chart::Bars {
            title: column.1.to_owned(),
            bars: bars.collect(),
        };
        let name = format!("{}.svg", section.scenario);
        std::fs::write(out.join(&name), svg(section.title, &[chart]))?;
        let folder = out
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("performance");
        writeln!(text, "\n![{}]({folder}/{name})", section.title)?;
    }
    Ok(text)
}
