//! The charts of a month as SVG: uptime and push latency by day. Colors come from the page.

use std::fmt::Write;

use super::month::{DaySummary, Percentiles, Report};

const LEFT: f64 = 68.0;
const WIDTH: f64 = 720.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 10.0;
const HEIGHT: f64 = 190.0;
const BOTTOM: f64 = 26.0;

/// Bars of uptime from a round floor below the target, so that 99.9 differs from 100.
pub(super) fn uptime(report: &Report) -> String {
    let worst = report
        .days
        .iter()
        .filter_map(|day| day.uptime_percent)
        .fold(100.0, f64::min);
    // A round floor below the worst day and the target.
    let wanted = worst.min(report.target_percent);
    let floor = [99.9, 99.5, 99.0, 98.0, 95.0, 90.0, 80.0, 50.0, 0.0]
        .into_iter()
        .find(|floor| *floor < wanted);
    let floor = floor.unwrap_or(0.0);
    let height = |percent: f64| (percent - floor) / (100.0 - floor) * plot_height();
    let mut svg = open("Uptime of each day");
    for share in [0.0, 0.5, 1.0] {
        let percent = floor + (100.0 - floor) * share;
        svg += &grid(height(percent), &format!("{percent} %"));
    }
    let step = step(report.days.len());
    for (at, day) in report.days.iter().enumerate() {
        let x = LEFT + step * index(at) + step * 0.12;
        let Some(percent) = day.uptime_percent else {
            continue;
        };
        let tall = height(percent).max(3.0);
        let class = if percent >= report.target_percent {
            "good"
        } else {
            "bad"
        };
        let _ = write!(
            svg,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{tall:.1}\" rx=\"2\"><title>day {}: {percent} %</title></rect>",
            TOP + plot_height() - tall,
            step * 0.76,
            day.day,
        );
    }
    let target = TOP + plot_height() - height(report.target_percent);
    let _ = write!(
        svg,
        "<path class=\"target\" d=\"M{LEFT} {target:.1}H{}\"/>",
        WIDTH - RIGHT
    );
    svg + &days(&report.days) + "</svg>"
}

/// Selects one percentile.
type Share = fn(&Percentiles) -> f64;

/// Three lines on a logarithmic scale.
pub(super) fn latency(report: &Report) -> String {
    let all = || report.days.iter().filter_map(|day| day.latency);
    let least = all()
        .map(|latency| latency.p50_ms)
        .fold(f64::INFINITY, f64::min);
    let most = all().map(|latency| latency.p99_ms).fold(0.0, f64::max);
    if most == 0.0 {
        return "<p>No push was recorded.</p>".to_owned();
    }
    let (low, high) = (
        least.log10().floor(),
        most.log10().ceil().max(least.log10().floor() + 1.0),
    );
    let height = |ms: f64| (ms.log10() - low) / (high - low) * plot_height();
    let mut svg = open("Within how many milliseconds pushes were stored, day by day");
    let mut power = low;
    while power <= high {
        let ms = 10_f64.powf(power);
        svg += &grid(height(ms), &format!("{ms} ms"));
        power += 1.0;
    }
    let lines: [(&str, Share); 3] = [
        ("p99", |latency| latency.p99_ms),
        ("p95", |latency| latency.p95_ms),
        ("p50", |latency| latency.p50_ms),
    ];
    for (name, of) in lines {
        let _ = write!(
            svg,
            "<path class=\"{name}\" d=\"{}\"/>",
            line(&report.days, of, height)
        );
    }
    svg + &days(&report.days) + "</svg>"
}

/// A day without pushes breaks the line; a day between two such days is a dot.
fn line(all: &[DaySummary], of: Share, height: impl Fn(f64) -> f64) -> String {
    let (mut path, mut drawing, step) = (String::new(), false, step(all.len()));
    for (at, day) in all.iter().enumerate() {
        let Some(latency) = &day.latency else {
            drawing = false;
            continue;
        };
        let (x, y) = (
            LEFT + step * (index(at) + 0.5),
            TOP + plot_height() - height(of(latency)),
        );
        let _ = match drawing {
            true => write!(path, "L{x:.1} {y:.1}"),
            false => write!(path, "M{x:.1} {y:.1}h0.01"),
        };
        drawing = true;
    }
    path
}

fn open(label: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{label}\">",
        TOP + HEIGHT + BOTTOM
    )
}

fn plot_height() -> f64 {
    HEIGHT
}

fn grid(height: f64, label: &str) -> String {
    let y = TOP + plot_height() - height;
    format!(
        "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
        WIDTH - RIGHT,
        LEFT - 6.0,
        y + 4.0
    )
}

fn days(all: &[DaySummary]) -> String {
    let step = step(all.len());
    let labels = all
        .iter()
        .enumerate()
        .filter(|(at, _)| at % 7 == 0)
        .map(|(at, day)| {
            let x = LEFT + step * (index(at) + 0.5);
            format!(
                "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                TOP + HEIGHT + 18.0,
                day.day
            )
        });
    labels.collect()
}

fn step(count: usize) -> f64 {
    (WIDTH - LEFT - RIGHT) / index(count.max(1))
}

#[expect(clippy::cast_precision_loss, reason = "days of a month")]
fn index(at: usize) -> f64 {
    at as f64
}
