//! What a person should know of: said once as an event, and kept until it is dismissed.

use super::super::record::{Record, Warned};
use super::{Distrust, Engine, Event};

impl Engine {
    /// The time of day, in seconds since 1970, for dating warnings. Nothing is decided by it.
    pub fn wall_clock(&mut self, wall_s: u64) {
        self.wall_s = wall_s;
    }

    /// A person has seen the warnings so far.
    pub fn dismiss_warnings(&mut self) {
        if self.state.warnings.iter().next().is_some() {
            self.state.warnings.clear();
            self.persist(Record::Dismissed(true));
        }
    }

    /// The relay, or someone on the way, shows something that cannot be.
    pub(super) fn distrust(&mut self, distrust: Distrust) {
        self.warn(distrust.to_string(), false);
        self.event(Event::Distrust(distrust));
    }

    /// The relay said that it was restored from a backup: no attack, but worth knowing.
    pub(super) fn new_history(&mut self) {
        self.warn("the relay was restored from a backup".to_owned(), true);
        self.event(Event::NewHistory);
    }

    pub(super) fn warn(&mut self, text: String, restored: bool) {
        // The same trouble on every connection would fill the journal.
        if self.state.warnings.contains(&text) && !restored {
            return;
        }
        let warned = Warned {
            text,
            at_s: self.wall_s,
            restored,
        };
        self.state.warnings.add(warned.clone());
        self.persist(Record::Warned(warned));
    }
}
