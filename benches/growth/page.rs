//! The generated part of the performance page.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use graceful_loadgen::chart::{Axis, Chart, Line, svg};

use crate::harness::Values;
use crate::{Raw, block};

/// Name in the numbers, name on the page.
const WORK: [(&str, &str); 5] = [
    ("push", "push, alone"),
    ("push_together", "push, 64 together"),
    ("deliver", "deliver"),
    ("ack", "ack"),
    ("sweep", "sweep"),
];

pub fn in_short(values: &Values) -> String {
    let shown = [
        "push_p50_us",
        "push_together_cpu_us",
        "ack_p50_us",
        "sweep_cpu_us",
        "open_ms",
        "crash_open_ms",
    ];
    let shown = shown
        .iter()
        .filter_map(|name| Some(format!("{name} {:.1}", values.get(*name)?)));
    shown.collect::<Vec<_>>().join(", ")
}

pub fn write(raw: &Raw, out: &Path) -> Result<()> {
    let mut text = format!(
        "\nThe store alone, without sockets, with envelopes of {} bytes. Times are medians of one \
         commit (\"64 together\": of 64 pushes; sweep: of up to 1,000 envelopes) or one read. CPU time \
         and bytes written are averages for each push, ack or envelope.\n",
        raw.envelope_bytes
    );
    for (name, title, label, rows) in [
        (
            "stored",
            "By stored envelopes",
            "envelopes stored",
            &raw.stored,
        ),
        (
            "devices",
            "By devices in an account",
            "devices in each account",
            &raw.devices,
        ),
        ("accounts", "By accounts", "accounts", &raw.accounts),
    ] {
        table(&mut text, title, label, rows)?;
        picture(&mut text, out, name, title, label, rows)?;
    }
    month(&mut text, raw, out)?;
    block::replace(&out.with_extension("md"), "benches/growth", &text)
}

fn mb(values: &Values, name: &str) -> f64 {
    values.get(name).copied().unwrap_or(0.0) / 1e6
}

fn table(text: &mut String, title: &str, label: &str, rows: &[Values]) -> Result<()> {
    writeln!(text, "\n### {title}\n")?;
    let names: Vec<_> = WORK.iter().map(|(_, name)| *name).collect();
    writeln!(
        text,
        "| {label} | {} | open | open after a crash | file ÷ live |",
        names.join(" | ")
    )?;
    writeln!(text, "|---|{}---|---|---|", "---|".repeat(names.len()))?;
    for row in rows {
        write!(text, "| {:.0} |", row.get("number").unwrap_or(&0.0))?;
        for (name, _) in WORK {
            let value = |what: &str| row.get(&format!("{name}_{what}")).copied();
            match value("p50_us")
                .zip(value("cpu_us"))
                .zip(value("written_bytes"))
            {
                Some(((p50, cpu), written)) => {
                    write!(
                        text,
                        " {p50:.0} µs, CPU {cpu:.0} µs, {:.1} KiB |",
                        written / 1024.0
                    )?;
                }
                None => write!(text, " – |")?,
            }
        }
        let ms = |name: &str| row.get(name).copied().unwrap_or(0.0);
        let ratio = mb(row, "file_bytes") / mb(row, "live_bytes").max(f64::MIN_POSITIVE);
        writeln!(
            text,
            " {:.1} ms | {:.1} ms | {ratio:.1} |",
            ms("open_ms"),
            ms("crash_open_ms")
        )?;
    }
    Ok(())
}

fn line(name: &str, rows: &[Values], value: impl Fn(&Values) -> Option<f64>) -> Line {
    let points = rows
        .iter()
        .filter_map(|row| Some((*row.get("number")?, value(row)?)));
    Line {
        name: name.to_owned(),
        points: points.collect(),
        marked: true,
    }
}

fn picture(
    text: &mut String,
    out: &Path,
    name: &str,
    title: &str,
    label: &str,
    rows: &[Values],
) -> Result<()> {
    let work = |what: &'static str| {
        WORK.iter()
            .map(move |(key, name)| {
                line(name, rows, |row| row.get(&format!("{key}_{what}")).copied())
            })
            .collect()
    };
    let chart = |title: &str, unit: &str, lines| Chart::Lines {
        title: title.to_owned(),
        x: Axis::logarithmic(label),
        y: Axis::logarithmic(unit),
        lines,
    };
    let open = vec![
        line("open", rows, |row| row.get("open_ms").copied()),
        line("open after a crash", rows, |row| {
            row.get("crash_open_ms").copied()
        }),
    ];
    let charts = [
        chart("Median time of a commit or a read", "µs", work("p50_us")),
        chart(
            "CPU time of each push, ack or envelope",
            "µs",
            work("cpu_us"),
        ),
        chart("Opening", "ms", open),
    ];
    save(text, out, name, title, &charts)
}

fn save(text: &mut String, out: &Path, name: &str, title: &str, charts: &[Chart]) -> Result<()> {
    let file = format!("growth-{name}.svg");
    std::fs::write(out.join(&file), svg(title, charts))?;
    let folder = out
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("performance");
    Ok(writeln!(text, "\n![{title}]({folder}/{file})")?)
}

fn month(text: &mut String, raw: &Raw, out: &Path) -> Result<()> {
    let title = "Over a month";
    writeln!(
        text,
        "\n### {title}\n\nThe same number of pushes every day. Nine accounts of ten acknowledge theirs at its end. \
         The tenth never does, and its envelopes expire after 30 days.\n"
    )?;
    writeln!(
        text,
        "| day | live, MB | file, MB | file ÷ live | written ÷ pushed |\n|---|---|---|---|---|"
    )?;
    for row in raw
        .month
        .iter()
        .filter(|row| [1.0, 10.0, 20.0, 30.0, 35.0].contains(&row["number"]))
    {
        let (live, file) = (mb(row, "live_bytes"), mb(row, "file_bytes"));
        let written = row.get("written_per_byte").copied().unwrap_or(0.0);
        writeln!(
            text,
            "| {:.0} | {live:.1} | {file:.1} | {:.1} | {written:.1} |",
            row["number"],
            file / live
        )?;
    }
    let (live, file) = (
        mb(&raw.idle, "compacted_live_bytes"),
        mb(&raw.idle, "compacted_file_bytes"),
    );
    writeln!(
        text,
        "| after `compact` | {live:.1} | {file:.1} | {:.1} | |",
        file / live
    )?;
    let idle = |name: &str| raw.idle.get(name).copied().unwrap_or(0.0) / 1024.0;
    writeln!(
        text,
        "\nPersisting the clock writes {:.1} KiB each time; an empty sweep {:.1} KiB.",
        idle("mark_written_bytes"),
        idle("empty_sweep_written_bytes")
    )?;
    let lines = vec![
        line("file", &raw.month, |row| Some(mb(row, "file_bytes"))),
        line("live", &raw.month, |row| Some(mb(row, "live_bytes"))),
    ];
    let chart = Chart::Lines {
        title: "Size".to_owned(),
        x: Axis::linear("days"),
        y: Axis::linear("MB"),
        lines,
    };
    save(text, out, "month", title, &[chart])
}
