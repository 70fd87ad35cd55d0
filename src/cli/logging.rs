//! Where logs go: to the standard error stream, which a service manager keeps.

use std::io::IsTerminal;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::LogLevel;

/// `RUST_LOG`, if it is set, says more precisely what to log than the settings can.
pub(super) fn start(level: LogLevel) {
    let chosen = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level.name()));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = lines.with_ansi(std::io::stderr().is_terminal()).with_target(false);
    let lines = lines.with_filter(chosen.and(filter_fn(is_fit_to_log)));
    // Fails only where a logger is there already.
    let _ = tracing_subscriber::registry().with(lines).try_init();
}

/// Libraries trace whole messages, with the keys and invitations in them. Whatever is asked for, of
/// them only what went wrong is logged.
fn is_fit_to_log(metadata: &Metadata<'_>) -> bool {
    metadata.target().split("::").next() == Some(env!("CARGO_CRATE_NAME")) || *metadata.level() <= Level::WARN
}
