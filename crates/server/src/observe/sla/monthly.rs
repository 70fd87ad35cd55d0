//! Writes the report when a month is over, and removes the oldest reports.

use std::fs;
use std::io;
use std::path::Path;

use graceful_rules::sla::SlaTerms;
use graceful_rules::uptime::ClockReading;

use super::month::{Month, Report};
use super::{FOLDER, UptimeLog};

/// Months that are checked: a missed report is written later.
const LOOK_BACK: usize = 3;

/// Writes the reports that are due. A report is written again only if the record of its month
/// changed, for example after a wrong clock was set.
pub(super) fn make_due(
    data: &Path,
    uptime_log: &UptimeLog,
    sla_terms: &SlaTerms,
    now: &ClockReading,
) -> io::Result<()> {
    let folder = data.join(FOLDER);
    let mut month = Month::of(now.wall_ms);
    for _ in 0..LOOK_BACK {
        month = month.before();
        let report = Report::new(uptime_log, sla_terms, month, now, true);
        if report.has_record() && !is_made(&folder, &report) {
            write(&folder, &report)?;
            tracing::info!(%month, "wrote the monthly uptime report");
        }
    }
    forget(&folder, sla_terms.reports_max)
}

fn is_made(folder: &Path, report: &Report) -> bool {
    let there = fs::read(folder.join(format!("{}.json", report.month)));
    let there: Option<serde_json::Value> = there
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    there.is_some_and(|there| {
        let same = |name: &str, value: i64| there[name].as_i64() == Some(value);
        same("up_s", report.up_s)
            && same("down_s", report.down_s)
            && same("planned_s", report.planned_s)
    })
}

fn write(folder: &Path, report: &Report) -> io::Result<()> {
    let json = serde_json::to_string_pretty(report)? + "\n";
    // The JSON file marks both as complete.
    for (ending, content) in [("html", report.to_html()), ("json", json)] {
        let path = folder.join(format!("{}.{ending}", report.month));
        graceful_fs_util::atomic_write(&path, content.as_bytes())?;
    }
    Ok(())
}

/// Removes the oldest reports and nothing else.
fn forget(folder: &Path, reports_max: usize) -> io::Result<()> {
    let mut months = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        months.extend(
            name.strip_suffix(".json")
                .and_then(|month| month.parse::<Month>().ok()),
        );
    }
    months.sort_unstable();
    let surplus = months.len().saturating_sub(reports_max);
    for month in &months[..surplus] {
        for ending in ["html", "json"] {
            match fs::remove_file(folder.join(format!("{month}.{ending}"))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::month::tests::sla_terms;
    use super::*;
    use graceful_rules::latency::Latency;
    use graceful_rules::uptime::Record;

    /// 2026-08-01 00:00 UTC.
    const AUGUST_MS: i64 = 1_785_542_400_000;
    const DAY: u64 = 86_400_000;

    fn day(number: u64) -> ClockReading {
        let wall_ms = AUGUST_MS + i64::try_from(number * DAY).expect("small");
        ClockReading {
            boot: "a".into(),
            clock_ms: number * DAY,
            wall_ms,
            relay_ms: 0,
        }
    }

    fn files(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder.join(FOLDER)).expect("there");
        let mut names: Vec<_> = entries
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .into_string()
                    .expect("UTF-8")
            })
            .collect();
        names.retain(|name| name.starts_with("20"));
        names.sort();
        names
    }

    #[test]
    fn months_that_are_over_get_their_report_once_and_the_oldest_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut uptime_log = UptimeLog::read(folder.path(), 0).expect("none yet");
        uptime_log
            .begin(Record::Started { at: day(0) })
            .expect("written");
        let mut last = 0;
        let mut made = |until: u64| {
            let (latency, outages) = (Latency::default(), Vec::new());
            let lasted_ms = DAY * (until - last);
            last = until;
            let at = day(until);
            uptime_log
                .add(Record::Interval {
                    at,
                    lasted_ms,
                    latency,
                    outages,
                })
                .expect("written");
            make_due(folder.path(), &uptime_log, &sla_terms(), &day(until)).expect("made");
            files(folder.path())
        };
        assert_eq!(made(30), Vec::<String>::new(), "August is not over");
        assert_eq!(made(31), ["2026-08.html", "2026-08.json"]);
        let path = folder.path().join(FOLDER).join("2026-08.html");
        fs::write(&path, "mine").expect("written");
        assert_eq!(made(32).len(), 2);
        assert_eq!(
            fs::read_to_string(&path).expect("there"),
            "mine",
            "it is not made twice"
        );
        // Two remain.
        assert_eq!(
            made(92),
            [
                "2026-09.html",
                "2026-09.json",
                "2026-10.html",
                "2026-10.json"
            ]
        );
    }
}
