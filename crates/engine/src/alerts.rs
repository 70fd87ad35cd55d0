//! Alerts for a person. They are kept until dismissed, so that they survive when nobody is
//! watching.

use std::collections::VecDeque;

use crate::record::Alert;

/// Most alerts kept. The oldest is dropped first.
pub const ALERTS_MAX: usize = 32;

/// The newest alerts, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alerts(VecDeque<Alert>);

impl Alerts {
    /// Returns whether an alert with this message exists. An alert is not recorded twice.
    pub fn contains(&self, message: &str) -> bool {
        self.0.iter().any(|alert| alert.message == message)
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

    /// Iterates over the alerts, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Alert> {
        self.0.iter()
    }
}
