//! Configuration errors: where, what, and what to do.

use std::fmt;
use std::path::PathBuf;

/// Where an option was set, in the order in which errors are reported.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    File {
        path: PathBuf,
        line: usize,
        column: usize,
    },
    Variable(String),
    Flag(&'static str),
    Credential(&'static str),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("defaults"),
            Self::File { path, line, column } => {
                write!(f, "{}, line {line}, column {column}", path.display())
            }
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "{name}"),
            Self::Credential(name) => write!(f, "systemd credential {name}"),
        }
    }
}

/// Every error of the configuration, by source and line.
#[derive(Debug, thiserror::Error)]
pub struct ConfigErrors(Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => one.fmt(f),
            all => {
                write!(f, "the configuration has {} errors:", all.len())?;
                all.iter().try_for_each(|one| write!(f, "\n  {one}"))
            }
        }
    }
}

/// The errors found so far.
#[derive(Debug, Default)]
pub(super) struct Errors(Vec<ConfigError>);

impl Errors {
    pub(super) fn note(&mut self, error: ConfigError) {
        self.0.push(error);
    }

    /// The value, or `None` after noting the error.
    pub(super) fn take<T>(&mut self, checked: Result<T, ConfigError>) -> Option<T> {
        checked.map_err(|error| self.note(error)).ok()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Drops later errors of options at their defaults: the value that was set may be among the refused ones.
    pub(super) fn drop_unset_since(&mut self, count: usize) {
        let mut at = 0;
        self.0.retain(|error| {
            at += 1;
            at <= count || error.origin != Place::Setting(Origin::Default)
        });
    }

    pub(super) fn into_errors(mut self) -> ConfigErrors {
        self.0.sort_by(|one, other| one.origin.cmp(&other.origin));
        ConfigErrors(self.0)
    }
}

/// One error, with its place.
#[derive(Debug, thiserror::Error)]
#[error("{origin}: {text}")]
pub(super) struct ConfigError {
    origin: Place,
    text: String,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    File(PathBuf),
    Setting(Origin),
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
        Self {
            origin: Place::Setting(origin),
            text: text.into(),
        }
    }

    pub(super) fn unreadable(path: PathBuf, error: &std::io::Error) -> Self {
        let text = match error.kind() {
            std::io::ErrorKind::NotFound => "no such file".to_owned(),
            std::io::ErrorKind::PermissionDenied => {
                "permission denied; run as its owner, or change its permissions".to_owned()
            }
            _ => format!("cannot be read: {error}"),
        };
        Self {
            origin: Place::File(path),
            text,
        }
    }
}
