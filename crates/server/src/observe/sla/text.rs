//! The report as text for a terminal and as Markdown.

use std::fmt::Write;

use super::month::{IncidentSummary, Percentiles, Report};

impl Report {
    /// Renders text of 80 columns.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "Uptime of {}{}\n\n",
            self.month,
            if self.is_over { "" } else { ", so far" }
        );
        for (name, value) in self.facts() {
            let _ = writeln!(text, "  {name:14}{value}");
        }
        text += "\nDays (each bar is a day's uptime; . nothing recorded)\n\n  ";
        text.extend(self.days.iter().map(|day| bar(day.uptime_percent)));
        let _ = writeln!(
            text,
            "\n  {:<width$}{}",
            1,
            self.days.len(),
            width = self.days.len() - 2
        );
        text += "\nIncidents\n\n";
        for one in &self.incidents {
            let kind = if one.planned {
                " (planned; does not count)"
            } else {
                ""
            };
            let _ = writeln!(text, "  {} UTC  {}{kind}", one.from, lasted(one.lasted_s));
            let _ = writeln!(text, "      {}", one.cause);
        }
        text += &self.no_more("  ");
        text
    }

    /// Renders Markdown.
    pub fn to_markdown(&self) -> String {
        let mut text = format!(
            "# Uptime of {}{}\n\n| | |\n|---|---|\n",
            self.month,
            if self.is_over { "" } else { ", so far" }
        );
        for (name, value) in self.facts() {
            let _ = writeln!(text, "| {name} | {value} |");
        }
        text += "\n## Incidents\n\n";
        if !self.incidents.is_empty() {
            text +=
                "| from (UTC) | until (UTC) | lasted | cause | counts |\n|---|---|---|---|---|\n";
        }
        for IncidentSummary {
            from,
            until,
            lasted_s,
            cause,
            planned,
        } in &self.incidents
        {
            let counts = if *planned { "no, planned" } else { "yes" };
            let _ = writeln!(
                text,
                "| {from} | {until} | {} | {cause} | {counts} |",
                lasted(*lasted_s)
            );
        }
        text += &self.no_more("");
        text += "\n## Days\n\n| day | uptime | down | planned | pushes | p50 | p95 | p99 |\n|--:|--:|--:|--:|--:|--:|--:|--:|\n";
        for day in &self.days {
            let uptime = day
                .uptime_percent
                .map_or_else(|| "-".to_owned(), |uptime| format!("{uptime} %"));
            let (down, planned) = (lasted(day.down_s), lasted(day.planned_s));
            let [p50, p95, p99] = shares(day.latency.as_ref());
            let _ = writeln!(
                text,
                "| {} | {uptime} | {down} | {planned} | {} | {p50} | {p95} | {p99} |",
                day.day, day.pushes
            );
        }
        text
    }

    /// Returns the key figures.
    pub(super) fn facts(&self) -> Vec<(&'static str, String)> {
        let uptime = match (self.uptime_percent, self.target_met) {
            (Some(uptime), Some(met)) => {
                let met = if met { "met" } else { "missed" };
                format!(
                    "{uptime} %; the target of {} % was {met}",
                    self.target_percent
                )
            }
            _ => "nothing was recorded".to_owned(),
        };
        let mut facts = vec![
            ("uptime", uptime),
            ("down", lasted(self.down_s)),
            ("planned stops", lasted(self.planned_s)),
        ];
        if self.unrecorded_s > 0 {
            facts.push((
                "not recorded",
                format!("{}, which counts neither way", lasted(self.unrecorded_s)),
            ));
        }
        if self.credit_percent > 0.0 {
            facts.push((
                "credit due",
                format!("{} % of the month's price", self.credit_percent),
            ));
        }
        facts.push(("pushes", self.pushes.to_string()));
        if self.latency.is_some() {
            let [p50, p95, p99] = shares(self.latency.as_ref());
            facts.push((
                "stored within",
                format!("{p50} (p50), {p95} (p95), {p99} (p99)"),
            ));
        }
        facts.push(("made", format!("{} UTC", self.made)));
        facts
    }

    pub(super) fn no_more(&self, indent: &str) -> String {
        match (self.incidents.len(), self.incidents_more) {
            (0, 0) => format!("{indent}None.\n"),
            (_, 0) => String::new(),
            (_, more) => format!("{indent}And {more} more, which are counted above.\n"),
        }
    }
}

/// The highest for a day without downtime.
fn bar(uptime_percent: Option<f64>) -> char {
    match uptime_percent {
        None => '.',
        Some(percent) if percent >= 100.0 => '█',
        Some(percent) if percent >= 99.9 => '▇',
        Some(percent) if percent >= 99.0 => '▅',
        Some(percent) if percent >= 90.0 => '▃',
        Some(_) => '▁',
    }
}

pub(super) fn shares(latency: Option<&Percentiles>) -> [String; 3] {
    let all = latency.map(|latency| [latency.p50_ms, latency.p95_ms, latency.p99_ms]);
    all.map_or_else(
        || ["-"; 3].map(str::to_owned),
        |all| all.map(|ms| format!("{ms} ms")),
    )
}

/// Formats a duration in its two largest units: `2 h 05 min`, `12 s`.
pub(crate) fn lasted(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::super::month::tests::november;
    use super::*;

    #[test]
    fn the_report_says_what_happened_in_80_columns() {
        let text = november().to_text();
        assert!(
            text.contains("99.861 %; the target of 99.9 % was missed"),
            "{text}"
        );
        assert!(
            text.contains("credit due    10 % of the month's price"),
            "{text}"
        );
        assert!(
            text.contains("2026-11-03 23:40:00 UTC  1 h 00 min\n      the disk is nearly full"),
            "{text}"
        );
        assert!(
            text.contains("5 min 00 s (planned; does not count)"),
            "{text}"
        );
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
    }

    #[test]
    fn markdown_has_every_day_and_incident() {
        let text = november().to_markdown();
        assert_eq!(
            text.lines().filter(|line| line.contains(" ms |")).count(),
            30,
            "{text}"
        );
        let incident = "| 2026-11-03 23:40:00 | 2026-11-04 00:40:00 | 1 h 00 min | the disk is nearly full | yes |";
        assert!(text.contains(incident), "{text}");
    }

    #[test]
    fn lengths_are_told_in_the_units_that_matter() {
        assert_eq!(
            [0, 59, 61, 3_660, 90_000].map(lasted),
            ["0 s", "59 s", "1 min 01 s", "1 h 01 min", "1 d 01 h"]
        );
    }
}
