//! The program `graceful-relay`: the relay and its command line.

mod bench;
mod cli;
mod client;
mod config_args;
mod demo;
mod generate;
mod human;
mod operator;
mod sanitize;
mod serve;
#[cfg(any(target_os = "linux", target_os = "macos", windows))]
mod service;
mod signals;
mod temp_dir;

use std::process::ExitCode;

/// musl's own has one lock for all threads (docs/design/performance.md, "The static program").
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
