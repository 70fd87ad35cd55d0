//! Where logs go, and in which form.

use std::path::PathBuf;

use super::LogLevel;
use super::error::ConfigError;
use super::raw::Raw;
use super::validate::Check;

/// Where logs go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogTo {
    /// The standard error stream.
    Stderr,
    /// The standard output.
    Stdout,
    /// A file for each day.
    File,
    /// Syslog.
    Syslog,
    /// The journal of systemd.
    Journald,
}

impl LogTo {
    const ALL: [Self; 5] = [
        Self::Stderr,
        Self::Stdout,
        Self::File,
        Self::Syslog,
        Self::Journald,
    ];

    /// As it is written in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stderr => "stderr",
            Self::Stdout => "stdout",
            Self::File => "file",
            Self::Syslog => "syslog",
            Self::Journald => "journald",
        }
    }
}

/// The choices about logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// How much.
    pub level: LogLevel,
    /// Where.
    pub to: LogTo,
    /// As JSON, an object on each line.
    pub json: bool,
    /// For files.
    pub folder: PathBuf,
    /// Files kept, one for each day.
    pub keep_days: usize,
}

impl Check<'_> {
    pub(super) fn log(&self, raw: &Raw, level: LogLevel) -> Result<Log, ConfigError> {
        let written = raw.log.to.as_str();
        let to = LogTo::ALL.into_iter().find(|to| to.name() == written);
        let to =
            to.ok_or_else(|| self.not_one_of("log.to", written, &LogTo::ALL.map(LogTo::name)))?;
        let json = match raw.log.format.as_str() {
            "text" => false,
            "json" => true,
            written => return Err(self.not_one_of("log.format", written, &["text", "json"])),
        };
        let folder = PathBuf::from(&raw.log.folder);
        if to == LogTo::File && !folder.is_absolute() {
            let text = format!(
                "is {:?}; with `log.to` \"file\" it must be a whole path",
                raw.log.folder
            );
            return Err(self.wrong("log.folder", &text));
        }
        self.range("log.keep_days", raw.log.keep_days, 1..=3_650)?;
        Ok(Log {
            level,
            to,
            json,
            folder,
            keep_days: raw.log.keep_days as usize,
        })
    }
}
