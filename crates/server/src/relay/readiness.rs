//! Whether the relay does what it is there for, and if not, why. Whoever finds out says so here;
//! whoever tells operators, or keeps the record of uptime, listens.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Why a relay is not, or not wholly, there for its devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotReadyReason {
    /// It was told to stop, and sends its devices away.
    Draining,
    /// The disk is nearly full: nothing new is kept.
    DiskLow,
    /// A commit failed: nobody knows what is on the disk, and the process ends.
    CommitFailed,
    /// Its own devices did not get through its own door.
    CanaryFailed,
}

impl NotReadyReason {
    /// In words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Draining => "it was told to stop, and sends its devices away",
            Self::DiskLow => "the disk is nearly full, so nothing new is kept",
            Self::CommitFailed => "a write to the store failed",
            Self::CanaryFailed => "its own test devices did not get through",
        }
    }

    /// Whether somebody meant it to be so.
    pub const fn is_planned(self) -> bool {
        matches!(self, Self::Draining)
    }
}

/// Everything that is the matter now; nothing: it is ready.
pub type NotReadyReasons = BTreeSet<NotReadyReason>;

/// Where causes are told and heard.
#[derive(Debug)]
pub struct Readiness(watch::Sender<NotReadyReasons>);

impl Default for Readiness {
    fn default() -> Self {
        Self(watch::Sender::new(NotReadyReasons::new()))
    }
}

impl Readiness {
    /// Says that something is the matter, or no longer.
    pub fn set(&self, cause: NotReadyReason, holds: bool) {
        self.0.send_if_modified(|causes| {
            if holds {
                causes.insert(cause)
            } else {
                causes.remove(&cause)
            }
        });
    }

    /// What is the matter now.
    pub fn reasons(&self) -> NotReadyReasons {
        self.0.borrow().clone()
    }

    /// Hears of each change.
    pub fn subscribe(&self) -> watch::Receiver<NotReadyReasons> {
        self.0.subscribe()
    }
}
