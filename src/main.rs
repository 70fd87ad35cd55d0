//! The one program: a relay, and the commands around it.

mod account;
mod admin_client;
mod backup;
mod banner;
mod bench;
mod bind;
mod cli;
mod client;
mod compact;
mod config;
mod config_args;
#[cfg(unix)]
mod daemon;
mod demo;
mod doctor;
mod drain;
mod duration;
mod generate;
mod healthcheck;
mod human;
mod invite;
mod logging;
mod offline_store;
mod reload;
mod reloader;
mod restore;
mod restored;
mod sanitize;
mod serve;
#[cfg(any(target_os = "linux", target_os = "macos", windows))]
mod service;
mod service_notify;
mod signals;
mod sla;
mod status;
mod temp_dir;
mod verify;
#[cfg(windows)]
mod windows_service;

use std::process::ExitCode;

/// musl's own has one lock for all threads (docs/design/performance.md, "The static program").
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
