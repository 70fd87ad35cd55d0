//! Formatting of counts, sizes and durations for people.

use indicatif::{DecimalBytes, HumanCount};

/// `1.2 GB`.
pub(super) fn bytes(bytes: u64) -> String {
    DecimalBytes(bytes).to_string()
}

/// `1 account`, `2,000 accounts`.
pub(super) fn plural(count: u64, what: &str) -> String {
    format!(
        "{} {what}{}",
        HumanCount(count),
        if count == 1 { "" } else { "s" }
    )
}

/// `3 days 4 h`, `2 min`; the two largest units.
pub(super) fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, 0) => format!("{hours} h"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (1, 0, _) => "1 day".to_owned(),
        (1, hours, _) => format!("1 day {hours} h"),
        (days, 0, _) => format!("{days} days"),
        (days, hours, _) => format!("{days} days {hours} h"),
    }
}

/// Wraps at `columns`; indents all lines but the first.
pub(super) fn wrap(text: &str, indent: usize, columns: usize) -> String {
    let (mut wrapped, mut column) = (String::new(), indent);
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > indent && column + 1 + length > columns {
            wrapped += &format!("\n{}", " ".repeat(indent));
            column = indent;
        } else if column > indent {
            wrapped.push(' ');
            column += 1;
        }
        wrapped += word;
        column += length;
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_print_their_two_largest_units() {
        let printed = [0, 59, 120, 3_600, 7_260, 86_400, 90_000, 273_600].map(duration);
        let expected = [
            "0 s",
            "59 s",
            "2 min",
            "1 h",
            "2 h 1 min",
            "1 day",
            "1 day 1 h",
            "3 days 4 h",
        ];
        assert_eq!(printed, expected);
    }
}
