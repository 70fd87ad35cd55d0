//! Where logs go: to a stream that a service manager keeps, to files of a day each, to syslog or to the
//! journal.

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

use graceful_server::config::{Log, LogLevel, LogTo};

/// Their names: `graceful-relay.2026-11-25.log`.
const NAME: &str = "graceful-relay";

type Lines = Box<dyn Layer<Registry> + Send + Sync>;

/// How much is logged, and a way to change it.
pub(super) struct LogLevelHandle(reload::Handle<EnvFilter, Registry>);

impl LogLevelHandle {
    /// From now on.
    pub(super) fn set(&self, level: LogLevel) {
        // Fails only where the logger is gone.
        let _ = self.0.reload(filter(level));
    }
}

/// `RUST_LOG`, if it is set, says more precisely what to log than the settings can.
fn filter(level: LogLevel) -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level.name()))
}

/// From here on there is a log.
pub(super) fn start(log: &Log) -> anyhow::Result<LogLevelHandle> {
    let (chosen, log_level) = reload::Layer::new(filter(log.level));
    let lines = match log.to {
        LogTo::Stderr => lines(log, std::io::stderr, std::io::stderr().is_terminal()),
        LogTo::Stdout => lines(log, std::io::stdout, std::io::stdout().is_terminal()),
        LogTo::File => {
            let files = RollingFileAppender::builder()
                .rotation(Rotation::DAILY)
                .filename_prefix(NAME);
            let files = files
                .filename_suffix("log")
                .max_log_files(log.keep_days)
                .build(&log.folder);
            let files =
                files.with_context(|| format!("no log can be kept in {}", log.folder.display()))?;
            lines(log, files, false)
        }
        LogTo::Syslog => syslog(log)?,
        LogTo::Journald => tracing_journald::layer()
            .context("there is no journal to log to")?
            .boxed(),
    };
    let lines = lines.with_filter(chosen.and(filter_fn(is_fit_to_log)));
    // Fails only where a logger is there already.
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
    // Syslog writes the time itself.
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
    anyhow::bail!("there is no syslog on this system")
}

/// Libraries trace whole messages, with the keys and invitations in them. Whatever is asked for, of
/// them only what went wrong is logged.
fn is_fit_to_log(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("graceful_") || *metadata.level() <= Level::WARN
}
