//! Command output: text for people, JSON for programs.

use serde_json::Value;

/// The output format.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    pub(super) json: bool,
}

impl Output {
    /// Prints a result to standard output.
    pub(super) fn result(self, json: &Value, text: impl FnOnce() -> String) {
        if self.json {
            println!("{json}");
        } else {
            println!("{}", text());
        }
    }
}

/// Prints a note to standard error.
pub(super) fn note(text: &str) {
    eprintln!("{text}");
}

/// Formats a count: "1 change", "2 changes".
pub(super) fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
