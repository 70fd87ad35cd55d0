//! The one program: a relay, and the commands around it.

use std::process::ExitCode;

fn main() -> ExitCode {
    graceful_relay::cli::run()
}
