//! Looking for what is wrong, on this machine: the folder, the disk, the clock, limits and ports. Each look
//! gives findings in words, with what to do. Nothing is changed but a file that is made and removed again.

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

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It may go wrong, or could not be looked at.
    Warning,
    /// It does not work.
    Failure,
}

/// One line of what the doctor says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at.
    pub check: String,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub text: String,
    /// What to do.
    pub next: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn ok(check: &str, text: impl Into<String>) -> Self {
        Self {
            check: check.to_owned(),
            level: Level::Ok,
            text: text.into(),
            next: None,
        }
    }

    /// It may go wrong.
    pub fn warning(check: &str, text: impl Into<String>, next: impl Into<String>) -> Self {
        let (check, text, next) = (check.to_owned(), text.into(), Some(next.into()));
        Self {
            check,
            level: Level::Warning,
            text,
            next,
        }
    }

    /// It does not work.
    pub fn failure(check: &str, text: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            level: Level::Failure,
            ..Self::warning(check, text, next)
        }
    }
}
