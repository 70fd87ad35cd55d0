//! The checks of `doctor` on this machine. Each returns findings with the next step. Nothing is
//! changed but a file that is created and removed.

mod clock;
mod data_dir;
mod disk;
mod limits;
mod ports;

use serde::{Deserialize, Serialize};

pub use clock::clock;
pub use data_dir::data_dir;
pub use disk::{free_space, sync_speed};
pub use limits::open_files;
pub use ports::{Owner, may_bind, owner_of_port};

/// The severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It may fail, or could not be checked.
    Warning,
    /// It does not work.
    Failure,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was checked.
    pub check: String,
    /// The severity.
    pub level: Level,
    /// What was found.
    pub text: String,
    /// The next step.
    pub next: Option<String>,
}

impl Finding {
    /// Creates a finding without a problem.
    pub fn ok(check: &str, text: impl Into<String>) -> Self {
        Self {
            check: check.to_owned(),
            level: Level::Ok,
            text: text.into(),
            next: None,
        }
    }

    /// Creates a warning.
    pub fn warning(check: &str, text: impl Into<String>, next: impl Into<String>) -> Self {
        let (check, text, next) = (check.to_owned(), text.into(), Some(next.into()));
        Self {
            check,
            level: Level::Warning,
            text,
            next,
        }
    }

    /// Creates a failure.
    pub fn failure(check: &str, text: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            level: Level::Failure,
            ..Self::warning(check, text, next)
        }
    }
}
