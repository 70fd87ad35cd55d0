//! The report, side by side: the relay's view and the devices' view.

use std::collections::BTreeMap;

use console::{Alignment, Term, measure_text_width, pad_str, style, truncate_str};
use indicatif::{DecimalBytes, HumanCount};
use serde_json::Value;

use super::report::{Receiver, Report};
use crate::sanitize::sanitize;

/// Widest page.
const COLUMNS_MAX: usize = 120;
/// Width without a terminal.
const COLUMNS_DEFAULT: usize = 100;
/// Below this width, the sides are printed one below the other.
const COLUMNS_MIN: usize = 76;
const BETWEEN: &str = " │ ";
/// Rows of the size histogram.
const SIZE_ROWS: usize = 6;

/// Returns the page width.
pub(super) fn columns() -> usize {
    Term::stdout()
        .size_checked()
        .map_or(COLUMNS_DEFAULT, |(_, columns)| usize::from(columns))
}

/// Formats the page.
pub(super) fn page(report: &Report, columns: usize) -> String {
    let columns = columns.min(COLUMNS_MAX);
    let beside = columns >= COLUMNS_MIN;
    let between = measure_text_width(BETWEEN);
    let width = if beside {
        (columns - between) / 2
    } else {
        columns
    };
    let (left, right) = (relay_side(report, width), device_side(report, width));
    let mut page = String::from("\n");
    if beside {
        for row in 0..left.len().max(right.len()) {
            let cell = |side: &[String]| fit(side.get(row).map_or("", String::as_str), width);
            page += &format!("{}{}{}", cell(&left), style(BETWEEN).dim(), cell(&right));
            page.truncate(page.trim_end_matches(' ').len());
            page.push('\n');
        }
    } else {
        for line in left.iter().chain([&String::new()]).chain(&right) {
            page += truncate_str(line, width, "…").trim_end();
            page.push('\n');
        }
    }
    page.push('\n');
    for line in summary(report) {
        page += &line;
        page.push('\n');
    }
    page
}

fn fit(text: &str, width: usize) -> String {
    pad_str(
        &truncate_str(text, width, "…"),
        width,
        Alignment::Left,
        None,
    )
    .into_owned()
}

fn heading(text: &str, width: usize) -> [String; 2] {
    [
        style(text).bold().to_string(),
        style("─".repeat(width)).dim().to_string(),
    ]
}

fn relay_side(report: &Report, width: usize) -> Vec<String> {
    let relay = &report.relay;
    let mut lines = Vec::from(heading("WHAT THE RELAY COULD SEE", width));
    lines.push(format!("account    {}", short(&report.account)));
    for (row, key) in report.device_keys.iter().enumerate() {
        lines.push(format!(
            "{:9}  {}",
            if row == 0 { "devices" } else { "" },
            short(key)
        ));
    }
    let (count, bytes) = (
        HumanCount(relay.envelopes),
        DecimalBytes(relay.envelope_bytes),
    );
    lines.push(format!("envelopes  {count}, together {bytes}"));
    lines.push(String::new());
    lines.push(format!("sizes, padded to one of {}", relay.sizes.len()));
    lines.extend(histogram(&relay.sizes, width));
    lines.push(String::new());
    let (first, last) = relay.arrived_ms;
    let span_ms = last - first;
    lines.push("arrival times".to_owned());
    lines.push(format!(
        "  {}  within {span_ms} ms",
        style(sparkline(&relay.arrivals)).cyan()
    ));
    lines.push(String::new());
    lines.push("start of one envelope".to_owned());
    lines.extend(hex(&relay.beginning));
    lines.push(String::new());
    lines.push(format!(
        "the ledger's text in its {} file",
        DecimalBytes(relay.file_bytes)
    ));
    lines.push(format!(
        "  {} bytes found",
        good(&HumanCount(relay.plaintext_bytes).to_string())
    ));
    lines
}

fn device_side(report: &Report, width: usize) -> Vec<String> {
    let mut lines = Vec::from(heading("WHAT THE DEVICES SAW", width));
    let count = HumanCount(report.changes);
    lines.push("account    of Laptop, Phone and Tablet".to_owned());
    lines.push(format!("Laptop     sent {count} changes"));
    for Receiver { name, copy } in &report.receivers {
        lines.push(format!("{name:9}  received {}", HumanCount(copy.changes)));
    }
    lines.push("each once, and in order".to_owned());
    lines.push(String::new());
    lines.push("three changes".to_owned());
    for sample in &report.samples {
        lines.extend(
            wrap(&summarize(sample), width.saturating_sub(4), 2)
                .into_iter()
                .enumerate()
                .map(|(row, part)| format!("{} {part}", if row == 0 { "  •" } else { "   " })),
        );
    }
    lines.push(String::new());
    lines.push("SHA-256 of".to_owned());
    lines.push(format!("  the ledger     {}", &report.sha256[..16]));
    for Receiver { name, copy } in &report.receivers {
        let copy_of = format!("{name}'s copy");
        lines.push(format!("  {copy_of:13}  {}", good(&copy.sha256[..16])));
    }
    lines.push(String::new());
    let found = HumanCount(report.plaintext_bytes_in_copy);
    lines.push("the ledger's text in Phone's copy".to_owned());
    lines.push(format!("  {found} bytes, by the same search"));
    lines
}

/// The most frequent sizes, ordered by size.
fn histogram(sizes: &BTreeMap<usize, u64>, width: usize) -> Vec<String> {
    let mut frequent: Vec<_> = sizes.iter().map(|(size, count)| (*size, *count)).collect();
    frequent.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let rest: u64 = frequent
        .iter()
        .skip(SIZE_ROWS)
        .map(|(_, count)| count)
        .sum();
    frequent.truncate(SIZE_ROWS);
    let most = frequent.first().map_or(1, |(_, count)| *count);
    frequent.sort_unstable();
    let room = width.saturating_sub(22).max(4) as u64;
    let row = |(size, count): (usize, u64)| {
        let blocks = "▇".repeat(usize::try_from((count * room).div_ceil(most)).unwrap_or(0));
        format!(
            "  {:>9} {} {}",
            format!("{} B", HumanCount(size as u64)),
            style(blocks).cyan(),
            HumanCount(count)
        )
    };
    let mut rows: Vec<_> = frequent.into_iter().map(row).collect();
    if rest > 0 {
        rows.push(format!("  {:>9} {}", "others", HumanCount(rest)));
    }
    rows
}

fn sparkline(counts: &[u64]) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let level = |count: u64| {
        if count == 0 {
            0
        } else {
            1 + (count * 6 / most) as usize
        }
    };
    counts
        .iter()
        .map(|count| LEVELS[level(*count).min(7)])
        .collect()
}

/// Sixteen bytes per line, in groups of four.
fn hex(digits: &str) -> Vec<String> {
    let groups: Vec<_> = digits
        .as_bytes()
        .chunks(8)
        .map(String::from_utf8_lossy)
        .collect();
    groups
        .chunks(4)
        .map(|line| format!("  {}", style(line.join(" ")).dim()))
        .collect()
}

fn short(id: &str) -> String {
    format!("{}…", id.chars().take(12).collect::<String>())
}

fn good(text: &str) -> String {
    style(text).green().bold().to_string()
}

/// Summarizes a change, or returns its start.
fn summarize(change: &str) -> String {
    let value: Value = serde_json::from_str(change).unwrap_or_default();
    let word = |value: &Value| value.as_str().map(str::to_owned);
    let payload = &value["payload"];
    let (Some(operation), Some(kind)) = (word(&value["operation"]), word(&value["entity_type"]))
    else {
        return sanitize(change);
    };
    let fields = [
        "date",
        "payee",
        "name",
        "narration",
        "account",
        "amount",
        "currency",
    ];
    let words = fields.iter().filter_map(|field| word(&payload[*field]));
    let words: Vec<_> = [operation, kind].into_iter().chain(words).collect();
    sanitize(&words.join(" "))
}

/// Wraps text into at most `rows` lines of `width`.
fn wrap(text: &str, width: usize, rows: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("the first line exists");
        if last.is_empty() {
            last.push_str(word);
        } else if measure_text_width(last) + 1 + measure_text_width(word) <= width {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    if lines.len() > rows {
        let rest = lines.split_off(rows - 1).join(" ");
        lines.push(truncate_str(&rest, width, "…").into_owned());
    }
    lines
}

fn summary(report: &Report) -> Vec<String> {
    let rate = report.changes as f64 / report.push_seconds.max(0.001);
    let slowest = report
        .receivers
        .iter()
        .map(|receiver| receiver.copy.seconds)
        .fold(0.0, f64::max);
    vec![
        format!(
            "Pushed {} changes ({}) in {:.2} s, {} a second.",
            HumanCount(report.changes),
            DecimalBytes(report.bytes),
            report.push_seconds,
            HumanCount(rate as u64)
        ),
        format!("Received on two devices at once in {slowest:.2} s."),
        format!(
            "One more change, from Phone, was on both others after {:.0} ms.",
            report.live_milliseconds.ceil()
        ),
        format!(
            "The relay stores {} envelopes now: all were acknowledged.",
            good(&report.envelopes_left.to_string())
        ),
        format!("{} All claims verified.", style("✓").green().bold()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_change_summary_fits_its_space() {
        assert_eq!(wrap("one two three four", 9, 2), ["one two", "three fo…"]);
        assert_eq!(wrap("", 9, 2), [""]);
        let change =
            r#"{"operation":"CREATE","entity_type":"CONTACT","payload":{"name":"Café\u001b[2J"}}"#;
        assert_eq!(summarize(change), "CREATE CONTACT Café\u{fffd}[2J");
        assert_eq!(summarize("not json"), "not json");
    }

    #[test]
    fn counts_render_as_charts() {
        assert_eq!(sparkline(&[0, 1, 50, 100]), "▁▂▅█");
        let sizes = (1..=9_usize)
            .map(|size| (size * 100, size as u64))
            .collect();
        let rows = histogram(&sizes, 40);
        assert_eq!(rows.len(), SIZE_ROWS + 1);
        assert!(
            rows[0].contains("400 B") && rows[SIZE_ROWS].contains("others 6"),
            "{rows:?}"
        );
    }
}
