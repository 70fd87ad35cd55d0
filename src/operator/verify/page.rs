//! The audit report as text, in 80 columns.

use std::collections::BTreeMap;
use std::path::Path;

use console::style;
use indicatif::{DecimalBytes, HumanCount};

use super::{Verified, date};
use crate::human::wrap;

const COLUMNS: usize = 80;
/// Rows of the size histogram.
const SIZE_ROWS: usize = 10;
const BAR_COLUMNS: u64 = 40;

const NOT_PROVEN: [&str; 4] = [
    "That no copy was made earlier: this is the store's current content.",
    "Who sealed an envelope, or with which key. Compressed data, and data encrypted with a known key, looks \
     random as well.",
    "That a few bytes inside an envelope are not plain text: too few for statistics.",
    "That the program that printed this report is genuine.",
];

/// The report.
pub(super) fn page(verified: &Verified, folder: &Path) -> String {
    let counts = &verified.counts;
    let by = if verified.live {
        "through the running relay"
    } else {
        "offline, in the data directory"
    };
    let facts = [
        ("at", date::utc(verified.at_s)),
        ("by", format!("graceful-relay {}, {by}", verified.version)),
        ("directory", folder.display().to_string()),
        (
            "envelopes",
            format!(
                "{}, {} in total",
                HumanCount(counts.envelopes),
                DecimalBytes(counts.envelope_bytes())
            ),
        ),
        ("accounts", HumanCount(counts.accounts).to_string()),
    ];
    let mut page = heading("Stored data");
    for (name, value) in facts {
        page += &format!("  {name:11}{value}\n");
    }
    page += &histogram(&counts.sizes);
    page += &heading("Checks");
    for check in counts.checks() {
        let mark = if check.holds {
            style("ok   ").green()
        } else {
            style("WRONG").red().bold()
        };
        page += &format!("  {mark}  {}\n", wrap(&check.finding, 9, COLUMNS));
    }
    page += &heading("Not proven");
    for text in NOT_PROVEN {
        page += &format!("  - {}\n", wrap(text, 4, COLUMNS));
    }
    page.push('\n');
    page
}

fn heading(text: &str) -> String {
    format!("\n{}\n", style(text).bold())
}

/// Sizes in steps of powers of two, or single sizes if there are few.
fn histogram(sizes: &BTreeMap<u64, u64>) -> String {
    let few = sizes.len() <= SIZE_ROWS;
    let mut rows: BTreeMap<u64, u64> = BTreeMap::new();
    for (size, count) in sizes {
        let row = if few { *size } else { size.next_power_of_two() };
        *rows.entry(row).or_default() += count;
    }
    let most = rows.values().copied().max().unwrap_or(1);
    let label = if few { "" } else { "up to " };
    let row = |(size, count): (&u64, &u64)| {
        let bar = "▇".repeat(usize::try_from((count * BAR_COLUMNS).div_ceil(most)).unwrap_or(0));
        let size = format!("{label}{} B", HumanCount(*size));
        format!(
            "  {size:>17} {} {}\n",
            style(bar).cyan(),
            HumanCount(*count)
        )
    };
    if rows.is_empty() {
        return String::new();
    }
    heading("Envelope sizes") + &rows.iter().map(row).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use graceful_rules::audit::AuditCounts;

    #[test]
    fn no_line_is_longer_than_the_page() {
        let mut counts = AuditCounts::default();
        for size in 363..1_500 {
            counts.add_envelope(&vec![7; size * 700]);
        }
        counts.add_unreadable();
        counts.miscounted = 1_000_000;
        let verified = Verified {
            counts,
            version: "10.10.10".into(),
            live: false,
            at_s: 0,
        };
        let page =
            console::strip_ansi_codes(&page(&verified, Path::new("/var/lib/graceful-relay")))
                .into_owned();
        assert!(page.lines().count() > 30, "{page}");
        for line in page.lines() {
            assert!(line.chars().count() <= COLUMNS, "{line}");
        }
        assert!(
            page.contains("WRONG") && page.contains("up to 524,288 B"),
            "{page}"
        );
    }
}
