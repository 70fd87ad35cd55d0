//! What a person should know of, kept until it is dismissed, so that what happened while nobody
//! looked is seen all the same.

use std::collections::VecDeque;

use super::record::Warned;

/// Warnings that are kept; beyond, the oldest goes.
pub const WARNINGS_MAX: usize = 32;

/// The newest warnings, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Warnings(VecDeque<Warned>);

impl Warnings {
    /// Whether one of these words stands already: it is not said twice.
    pub fn contains(&self, text: &str) -> bool {
        self.0.iter().any(|warned| warned.text == text)
    }

    pub(crate) fn add(&mut self, warned: Warned) {
        if self.0.len() == WARNINGS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(warned);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Warned> {
        self.0.iter()
    }
}
