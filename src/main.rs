//! The one program: a relay, and the commands around it.

use std::process::ExitCode;

/// musl's own has one lock for all threads (docs/performance.md, "The static program").
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    graceful_relay::cli::run()
}
