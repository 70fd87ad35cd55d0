//! A chart of a run: latencies by percentile, and throughput over time.

use super::chart::{Axis, Chart, Line, svg};
use super::report::Report;
use super::stats::{SLOT, Summary};

/// Percentiles that are written at the axis.
const PERCENTILES: [f64; 6] = [0.0, 90.0, 99.0, 99.9, 99.99, 99.999];

/// The whole file.
pub fn plot(report: &Report, heading: &str) -> String {
    let mut kinds = vec![("push → stored", &report.stored)];
    kinds.extend(
        report
            .delivered
            .as_ref()
            .map(|delivered| ("push → delivered", delivered)),
    );
    let (mut latencies, mut rates) = (Vec::new(), Vec::new());
    for (name, counted) in kinds {
        let points = counted
            .latency
            .curve
            .iter()
            .filter_map(|(percent, us)| Some((tailwards(*percent)?, *us as f64 / 1e3)));
        latencies.push(Line {
            name: name.to_owned(),
            points: points.collect(),
            marked: false,
        });
        rates.push(Line {
            name: name.to_owned(),
            points: over_time(counted),
            marked: false,
        });
    }
    let reached = latencies
        .iter()
        .flat_map(|line| &line.points)
        .map(|point| point.0)
        .fold(1.0, f64::max);
    let ticks = PERCENTILES
        .iter()
        .filter_map(|percent| Some((tailwards(*percent)?, format!("{percent} %"))));
    let ticks = ticks.filter(|(place, _)| *place <= reached + 0.5).collect();
    let percentile = Axis {
        ticks,
        ..Axis::linear("so many pushes took no longer")
    };
    svg(
        heading,
        &[
            Chart::Lines {
                title: "Latency".to_owned(),
                x: percentile,
                y: Axis::logarithmic("ms"),
                lines: latencies,
            },
            Chart::Lines {
                title: "Throughput".to_owned(),
                x: Axis::linear("seconds"),
                y: Axis::linear("pushes in a second"),
                lines: rates,
            },
        ],
    )
}

/// Each step to the right is a tenth of what was left: 90 %, 99 %, 99.9 %.
fn tailwards(percent: f64) -> Option<f64> {
    (percent < 100.0).then(|| -(1.0 - percent / 100.0).log10())
}

fn over_time(counted: &Summary) -> Vec<(f64, f64)> {
    let slot_s = SLOT.as_secs_f64();
    let points = counted.over_time_per_s.iter().enumerate();
    points
        .map(|(slot, per_s)| ((slot as f64 + 0.5) * slot_s, *per_s))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_go_towards_the_slowest() {
        let near =
            |percent, place: f64| tailwards(percent).is_some_and(|at| (at - place).abs() < 1e-6);
        assert!(near(0.0, 0.0) && near(90.0, 1.0) && near(99.9, 3.0));
        assert_eq!(tailwards(100.0), None);
    }
}
