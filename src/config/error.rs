//! What is wrong with the settings: where, what, and what to do.

use std::fmt;
use std::path::PathBuf;

/// Where a setting was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    Default,
    File { path: PathBuf, line: usize, column: usize },
    Variable(String),
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default settings"),
            Self::File { path, line, column } => {
                write!(f, "{}, line {line}, column {column}", path.display())
            }
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "{name}"),
        }
    }
}

/// Why there is no [`super::Config`].
#[derive(Debug, thiserror::Error)]
#[error("{origin}: {text}")]
pub struct ConfigError {
    origin: Place,
    text: String,
}

#[derive(Debug)]
enum Place {
    Setting(Origin),
    File(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting(origin) => origin.fmt(f),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl ConfigError {
    pub(super) fn new(origin: Origin, text: impl Into<String>) -> Self {
        Self { origin: Place::Setting(origin), text: text.into() }
    }

    pub(super) fn unreadable(path: PathBuf, error: &std::io::Error) -> Self {
        let text = match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
            std::io::ErrorKind::PermissionDenied => {
                "this user may not read it; run as the user it belongs to, or change its permissions"
                    .to_owned()
            }
            _ => format!("cannot be read: {error}"),
        };
        Self { origin: Place::File(path), text }
    }
}
