//! What a person should know of: said once as an event, and kept until it is dismissed.

use super::super::record::{Alert, Record};
use super::{Engine, Event, RelayMisbehavior};

impl Engine {
    /// The time of day, in seconds since 1970, for dating warnings. Nothing is decided by it.
    pub fn set_wall_clock(&mut self, wall_s: u64) {
        self.wall_s = wall_s;
    }

    /// A person has seen the warnings so far.
    pub fn dismiss_alerts(&mut self) {
        if self.state.alerts.iter().next().is_some() {
            self.state.alerts.clear();
            self.persist(Record::Dismissed(true));
        }
    }

    /// The relay, or someone on the way, shows something that cannot be.
    pub(super) fn report_misbehavior(&mut self, misbehavior: RelayMisbehavior) {
        self.alert(misbehavior.to_string(), false);
        self.event(Event::MisbehaviorDetected(misbehavior));
    }

    /// The relay said that it was restored from a backup: no attack, but worth knowing.
    pub(super) fn report_relay_restored(&mut self) {
        self.alert("the relay was restored from a backup".to_owned(), true);
        self.event(Event::RelayRestored);
    }

    pub(super) fn alert(&mut self, text: String, restored: bool) {
        // The same trouble on every connection would fill the journal.
        if self.state.alerts.contains(&text) && !restored {
            return;
        }
        let alert = Alert {
            text,
            at_s: self.wall_s,
            restored,
        };
        self.state.alerts.add(alert.clone());
        self.persist(Record::Alert(alert));
    }
}
