//! The one program: a relay, and the commands around it.

mod account;
mod asked;
mod backup;
mod bench;
mod cli;
mod client;
mod compact;
mod config;
#[cfg(unix)]
mod daemon;
mod demo;
mod doctor;
mod drain;
mod folder;
mod healthcheck;
mod interrupted;
mod invite;
mod lifetime;
mod listen;
mod logging;
mod manager;
mod papers;
mod plain;
mod reload;
mod reread;
mod resting;
mod restore;
mod restored;
mod serve;
#[cfg(any(target_os = "linux", target_os = "macos", windows))]
mod service;
mod settings;
mod sizes;
mod sla;
mod status;
mod verify;
mod welcome;
#[cfg(windows)]
mod windows_service;

use std::process::ExitCode;

/// musl's own has one lock for all threads (docs/performance.md, "The static program").
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
