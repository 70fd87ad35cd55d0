//! Logging to a stream, to daily files, to syslog or to the systemd journal.

use std::io::IsTerminal;

use anyhow::Context;
use tracing::{Level, Metadata};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use graceful_server::config::{Log, LogLevel, LogOutput};

/// Prefix of log files: `graceful-relay.2026-11-25.log`.
const NAME: &str = "graceful-relay";

type Lines = Box<dyn Layer<Registry> + Send + Sync>;

/// A handle that changes the log level.
pub(super) struct LogLevelHandle(reload::Handle<EnvFilter, Registry>);

impl LogLevelHandle {
    /// Sets the level.
    pub(super) fn set(&self, level: LogLevel) {
        // Fails only when the logger is gone.
        let _ = self.0.reload(filter(level));
    }
}

/// `RUST_LOG` overrides the configuration.
fn filter(level: LogLevel) -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level.name()))
}

/// Installs the logger.
pub(super) fn start(log: &Log) -> anyhow::Result<LogLevelHandle> {
    let (chosen, log_level) = reload::Layer::new(filter(log.level));
    let lines = match log.output {
        LogOutput::Stderr => lines(log, std::io::stderr, std::io::stderr().is_terminal()),
        LogOutput::Stdout => lines(log, std::io::stdout, std::io::stdout().is_terminal()),
        LogOutput::File => {
            let files = RollingFileAppender::builder()
                .rotation(Rotation::DAILY)
                .filename_prefix(NAME);
            let files = files
                .filename_suffix("log")
                .max_log_files(log.files_max)
                .build(&log.dir);
            let files = files
                .with_context(|| format!("cannot write log files in {}", log.dir.display()))?;
            lines(log, files, false)
        }
        LogOutput::Syslog => syslog(log)?,
        LogOutput::Journald => tracing_journald::layer()
            .context("cannot connect to the systemd journal")?
            .boxed(),
    };
    let lines = lines.with_filter(chosen.and(filter_fn(is_safe_to_log)));
    // Fails only when there is a logger already.
    let _ = tracing_subscriber::registry().with(lines).try_init();
    Ok(LogLevelHandle(log_level))
}

fn lines<W>(log: &Log, writer: W, ansi: bool) -> Lines
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_target(false);
    if log.json {
        lines.with_ansi(false).json().boxed()
    } else {
        lines.with_ansi(ansi).boxed()
    }
}

#[cfg(unix)]
fn syslog(log: &Log) -> anyhow::Result<Lines> {
    use syslog_tracing::{Facility, Options, Syslog};
    let syslog = Syslog::new(c"graceful-relay", Options::LOG_PID, Facility::Daemon);
    let syslog = syslog.context("syslog is in use already")?;
    // Syslog adds the time.
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(syslog)
        .with_target(false)
        .without_time();
    Ok(if log.json {
        lines.with_ansi(false).json().boxed()
    } else {
        lines.with_ansi(false).boxed()
    })
}

#[cfg(not(unix))]
fn syslog(_log: &Log) -> anyhow::Result<Lines> {
    anyhow::bail!("syslog is not available on this system")
}

/// Of libraries, only warnings and errors: their traces contain whole messages, with keys and invitations.
fn is_safe_to_log(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("graceful_") || *metadata.level() <= Level::WARN
}
