//! How results are said: to people in words, to programs in JSON.

use serde_json::Value;

/// Whom to talk to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Say {
    pub(super) json: bool,
}

impl Say {
    /// A result, on the standard output.
    pub(super) fn result(self, json: &Value, text: impl FnOnce() -> String) {
        if self.json {
            println!("{json}");
        } else {
            println!("{}", text());
        }
    }
}

/// Beside the results: for the person in front of the terminal.
pub(super) fn note(text: &str) {
    eprintln!("{text}");
}

/// Text from another device, made safe to show: it could hold what a terminal obeys.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// "1 change", "2 changes".
pub(super) fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_not_shown() {
        assert_eq!(plain("Anna\u{1b}[2J\n\u{9b}K"), "Anna\u{fffd}[2J\u{fffd}\u{fffd}K");
        assert_eq!(plain("Zoë 📱"), "Zoë 📱");
    }
}
