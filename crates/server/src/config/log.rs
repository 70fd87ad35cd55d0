//! The section `[log]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::check::Check;
use super::error::ConfigError;
use super::units::HumanDuration;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLog {
    pub(super) level: String,
    pub(super) output: String,
    pub(super) format: String,
    pub(super) dir: String,
    pub(super) retention: HumanDuration,
}

const DAY_S: u64 = 24 * 60 * 60;

impl Default for RawLog {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            output: "stderr".to_owned(),
            format: "text".to_owned(),
            dir: String::new(),
            retention: HumanDuration::from_secs(14 * DAY_S),
        }
    }
}

/// How much is logged. Each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// Failures that stop the relay.
    Error,
    /// Conditions that need an operator.
    Warn,
    /// Start, stop, maintenance.
    Info,
    /// Each connection.
    Debug,
    /// The kind of each frame.
    Trace,
}

impl LogLevel {
    const ALL: [Self; 6] = [
        Self::Off,
        Self::Error,
        Self::Warn,
        Self::Info,
        Self::Debug,
        Self::Trace,
    ];

    /// The value in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Where logs go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogOutput {
    /// The standard error stream.
    Stderr,
    /// The standard output.
    Stdout,
    /// A file for each day.
    File,
    /// Syslog.
    Syslog,
    /// The systemd journal.
    Journald,
}

impl LogOutput {
    const ALL: [Self; 5] = [
        Self::Stderr,
        Self::Stdout,
        Self::File,
        Self::Syslog,
        Self::Journald,
    ];

    /// The value in the file.
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

/// Log level, destination and format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// How much.
    pub level: LogLevel,
    /// Where.
    pub output: LogOutput,
    /// JSON, an object on each line.
    pub json: bool,
    /// The directory of log files.
    pub dir: PathBuf,
    /// Log files kept, one for each day.
    pub files_max: usize,
}

impl RawLog {
    pub(super) fn options(&self, check: &Check<'_>) -> Result<Log, ConfigError> {
        let level = LogLevel::ALL
            .into_iter()
            .find(|level| level.name() == self.level);
        let level = level.ok_or_else(|| {
            check.not_one_of("log.level", &self.level, &LogLevel::ALL.map(LogLevel::name))
        })?;
        let output = LogOutput::ALL
            .into_iter()
            .find(|output| output.name() == self.output);
        let output = output.ok_or_else(|| {
            check.not_one_of(
                "log.output",
                &self.output,
                &LogOutput::ALL.map(LogOutput::name),
            )
        })?;
        let json = match self.format.as_str() {
            "text" => false,
            "json" => true,
            written => return Err(check.not_one_of("log.format", written, &["text", "json"])),
        };
        let dir = PathBuf::from(&self.dir);
        if output == LogOutput::File && !dir.is_absolute() {
            let text = format!(
                "is {:?}; `log.output` \"file\" needs an absolute path",
                self.dir
            );
            return Err(check.wrong("log.dir", &text));
        }
        check.duration("log.retention", self.retention, DAY_S..=3_650 * DAY_S)?;
        Ok(Log {
            level,
            output,
            json,
            dir,
            files_max: (self.retention.0.as_secs() / DAY_S) as usize,
        })
    }
}
