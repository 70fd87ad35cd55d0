//! What a person should know of, kept until it is dismissed, so that what happened while nobody
//! looked is seen all the same.

use std::collections::VecDeque;

use super::record::Alert;

/// Alerts that are kept; beyond, the oldest goes.
pub const ALERTS_MAX: usize = 32;

/// The newest warnings, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alerts(VecDeque<Alert>);

impl Alerts {
    /// Whether one of these words stands already: it is not said twice.
    pub fn contains(&self, text: &str) -> bool {
        self.0.iter().any(|alert| alert.text == text)
    }

    pub(crate) fn add(&mut self, alert: Alert) {
        if self.0.len() == ALERTS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(alert);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Alert> {
        self.0.iter()
    }
}
