//! The report as text.

use console::style;
use indicatif::{DecimalBytes, HumanCount};

use super::report::{Cost, Report};
use super::stats::{Latencies, Summary};

/// The report.
pub fn page(report: &Report) -> String {
    let mut lines = Vec::new();
    if report.stored.all > 0 || report.unanswered > 0 {
        lines.push(heading());
        lines.push(row("push → stored", &report.stored.latency));
        if let Some(delivered) = &report.delivered {
            lines.push(row("push → delivered", &delivered.latency));
        }
        lines.push(String::new());
        lines.push(fact(
            "stored",
            &rate(&report.stored, report.stored_mb_per_s, report.duration_s),
        ));
        if let Some(delivered) = &report.delivered {
            let megabytes = delivered.per_s * report.envelope_bytes as f64 / 1e6;
            lines.push(fact(
                "delivered",
                &rate(delivered, megabytes, report.duration_s),
            ));
        }
    }
    if let Some(connecting) = &report.connecting {
        let (half, slow) = (time(connecting.p50_us), time(connecting.p99_us));
        lines.push(fact("connecting", &format!("p50 {half}, p99 {slow}")));
    }
    if let Some(cost) = &report.cost {
        lines.extend(costs(cost));
    }
    lines.push(fact(
        "this program",
        &format!("{:.2} processors", report.generator_processors),
    ));
    for note in &report.notes {
        lines.push(format!("\n{} {note}.", style("!").yellow().bold()));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn heading() -> String {
    let names = ["p50", "p90", "p99", "p99.9", "slowest"].map(|name| format!("{name:>11}"));
    style(format!("{:17}{}", "", names.concat()))
        .dim()
        .to_string()
}

fn row(name: &str, latency: &Latencies) -> String {
    let times = [
        latency.p50_us,
        latency.p90_us,
        latency.p99_us,
        latency.p999_us,
        latency.max_us,
    ];
    format!(
        "{name:17}{}",
        times.map(|us| format!("{:>11}", time(us))).concat()
    )
}

fn rate(counted: &Summary, megabytes_per_s: f64, duration_s: f64) -> String {
    let per_s = HumanCount(counted.per_s.round() as u64);
    let measured = HumanCount(counted.measured);
    format!("{per_s}/s, {megabytes_per_s:.1} MB/s ({measured} in {duration_s:.1} s)")
}

fn costs(cost: &Cost) -> Vec<String> {
    let mut lines = Vec::new();
    let each = cost
        .cpu_us_per_push
        .map(|us| format!(", {us:.0} µs per push"))
        .unwrap_or_default();
    lines.push(fact(
        "relay's CPU",
        &format!("{:.2} processors{each}", cost.processors),
    ));
    let grown = cost
        .resident_bytes_per_connection
        .filter(|bytes| *bytes > 0);
    let grown = grown
        .map(|bytes| format!(", {} per connection", kib(bytes)))
        .unwrap_or_default();
    let (now, most) = (
        DecimalBytes(cost.resident_bytes),
        DecimalBytes(cost.resident_bytes_max),
    );
    lines.push(fact(
        "relay's memory",
        &format!("{now}, {most} at most{grown}"),
    ));
    let times = cost
        .written_per_payload_byte
        .map(|times| format!(", {times:.1} per pushed byte"));
    let written = DecimalBytes(cost.written_bytes);
    lines.push(fact(
        "written to disk",
        &format!("{written}{}", times.unwrap_or_default()),
    ));
    lines
}

fn kib(bytes: i64) -> String {
    format!("{:.1} KiB", bytes as f64 / 1024.0)
}

fn fact(name: &str, text: &str) -> String {
    format!("{}{text}", style(format!("{name:17}")).dim())
}

/// Three digits, in a suitable unit.
pub fn time(us: u64) -> String {
    let ms = us as f64 / 1e3;
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..10_000 => format!("{ms:.2} ms"),
        10_000..100_000 => format!("{ms:.1} ms"),
        100_000..1_000_000 => format!("{ms:.0} ms"),
        _ => format!("{:.2} s", ms / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits() {
        let said = [7, 950, 1_234, 56_789, 123_456, 2_345_678].map(time);
        assert_eq!(
            said,
            ["7 µs", "950 µs", "1.23 ms", "56.8 ms", "123 ms", "2.35 s"]
        );
    }
}
