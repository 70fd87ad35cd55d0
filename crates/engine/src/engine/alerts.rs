//! Alerts: each is reported once as an event and kept until dismissed.

use super::{Engine, Event, RelayMisbehavior};
use crate::record::{Alert, Record};

impl Engine {
    /// Sets the wall clock, in seconds since 1970. It only dates alerts.
    pub fn set_wall_clock(&mut self, wall_s: u64) {
        self.wall_s = wall_s;
    }

    /// Clears all alerts.
    pub fn dismiss_alerts(&mut self) {
        if self.state.alerts.iter().next().is_some() {
            self.state.alerts.clear();
            self.persist(Record::Dismissed(true));
        }
    }

    /// Reports provable misbehavior of the relay or of an attacker on the path.
    pub(super) fn report_misbehavior(&mut self, misbehavior: RelayMisbehavior) {
        self.alert(misbehavior.to_string(), false);
        self.event(Event::MisbehaviorDetected(misbehavior));
    }

    /// Reports a restore that the relay announced. It is no attack, but a person should know.
    pub(super) fn report_relay_restored(&mut self) {
        self.alert("the relay was restored from a backup".to_owned(), true);
        self.event(Event::RelayRestored);
    }

    pub(super) fn alert(&mut self, message: String, restored: bool) {
        // The same fault on every connection would fill the journal.
        if self.state.alerts.contains(&message) && !restored {
            return;
        }
        let alert = Alert {
            message,
            at_s: self.wall_s,
            restored,
        };
        self.state.alerts.add(alert.clone());
        self.persist(Record::Alert(alert));
    }
}
