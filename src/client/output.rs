//! How results are said: to people in words, to programs in JSON.

use serde_json::Value;

/// Whom to talk to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    pub(super) json: bool,
}

impl Output {
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

/// "1 change", "2 changes".
pub(super) fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
