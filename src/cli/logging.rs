//! Where logs go: to the standard error stream, which a service manager keeps.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::LogLevel;

/// `RUST_LOG`, if it is set, says more precisely what to log than the settings can.
pub(super) fn start(level: LogLevel) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level.name()));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let logs = logs.with_ansi(std::io::stderr().is_terminal()).with_target(false);
    // Fails only where a logger is there already.
    let _ = logs.try_init();
}
