//! The command line: reads what was typed, calls the rooms, and says what came of it.
//!
//! Errors are told here and nowhere else, in one message: what happened, where, what to do.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[cfg(any(target_os = "linux", target_os = "macos", windows))]
use crate::service;
#[cfg(windows)]
use crate::windows_service;
use crate::{
    account, backup, bench, client, compact, config, demo, doctor, drain, generate, healthcheck,
    invite, reload, restore, restored, serve, signals, sla, status, verify,
};

use graceful_server::config::ConfigErrors;

/// Keeps the sealed changes of local-first apps until every device has them, and can read none.
#[derive(Debug, Parser)]
#[command(
    name = "graceful-relay",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the relay
    Serve(serve::Serve),
    /// Make an invitation, with which one account can be founded
    Invite(invite::Invite),
    /// Say how the running relay is doing
    Status(status::Status),
    /// List and show the accounts of the running relay, change their quota, or delete one
    #[command(subcommand)]
    Account(account::Account),
    /// Look for what is wrong on this machine, and say what to do about it
    Doctor(doctor::Doctor),
    /// Report the relay's uptime
    #[command(subcommand)]
    Sla(sla::Sla),
    /// Say whether the relay is ready, and end with 1 where it is not: for containers
    Healthcheck(healthcheck::Healthcheck),
    /// Let the running relay end in an orderly way: nobody new, then each device is sent away for a while
    Drain(drain::Drain),
    /// Put everything that a restore needs into one file, while the relay runs or not
    Backup(backup::Backup),
    /// Put a backup back, and tell devices so; the relay must be stopped
    Restore(restore::Restore),
    /// Say that the data folder was put back from a backup, so that devices take it for no attack
    Restored(restored::Restored),
    /// Verify that everything kept is sealed, and print a report for an auditor
    Verify(verify::Verify),
    /// Make the store small, and leave nothing of deleted rows in it; the relay must be stopped
    Compact(compact::Compact),
    /// Have the running relay read its certificate again
    Reload(reload::Reload),
    /// Make this program a service of the system, for who has no package of it
    #[cfg(any(target_os = "linux", target_os = "macos", windows))]
    #[command(subcommand)]
    Service(service::Service),
    /// Check or show the settings
    #[command(subcommand)]
    Config(config::Config),
    /// Be one device of an account: push changes, follow those of others, pair and remove
    Client(client::Client),
    /// See it work: a relay and three devices on this machine, for a few seconds
    Demo(demo::Demo),
    /// Put load on a relay, and measure how it does
    Bench(bench::Bench),
    /// Write manual pages and shell completions, for a package
    #[command(hide = true)]
    Generate(generate::Generate),
}

/// As shells report a program that Ctrl-C ended.
pub(crate) const INTERRUPTED: u8 = 130;

/// Threads that read the store. More would only wait for the same disk, each with a stack of its own.
const BLOCKING_THREADS_MAX: usize = 16;

/// EX_CONFIG of sysexits.h: no use in trying again before somebody has mended the settings.
const WRONG_SETTINGS: u8 = 78;

/// Runs what was typed. Mistakes in what was typed end with 2, wrong settings with 78, Ctrl-C before the work
/// is done with 130, everything else that fails with 1.
pub fn run() -> ExitCode {
    let line = CommandLine::parse();
    match execute_here(line.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<signals::Interrupted>() => ExitCode::from(INTERRUPTED),
        Err(error) => {
            // What was found was told already.
            if let Some(doctor::Found(code)) = error.downcast_ref() {
                return ExitCode::from(*code);
            }
            eprintln!("graceful-relay: {error:#}");
            match error.is::<ConfigErrors>() {
                true => ExitCode::from(WRONG_SETTINGS),
                false => ExitCode::FAILURE,
            }
        }
    }
}

/// A service of Windows belongs to a thread of its manager.
#[cfg(windows)]
fn execute_here(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(serve) if serve.is_service() => windows_service::run(serve),
        command => execute(command),
    }
}

/// A daemon leaves its terminal before there are any threads.
#[cfg(not(windows))]
fn execute_here(command: Command) -> anyhow::Result<()> {
    #[cfg(unix)]
    if let Command::Serve(serve) = &command {
        serve.leave_terminal()?;
    }
    execute(command)
}

pub(super) fn execute(command: Command) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_all()
        .build()?;
    let done = runtime.block_on(async {
        match command {
            Command::Serve(serve) => serve.run().await,
            Command::Invite(invite) => invite.run().await,
            Command::Status(status) => status.run().await,
            Command::Account(account) => account.run().await,
            Command::Doctor(doctor) => doctor.run().await,
            Command::Sla(sla) => sla.run().await,
            Command::Healthcheck(healthcheck) => healthcheck.run().await,
            Command::Drain(drain) => drain.run().await,
            Command::Backup(backup) => backup.run().await,
            Command::Restore(restore) => restore.run().await,
            Command::Restored(restored) => restored.run().await,
            Command::Verify(verify) => verify.run().await,
            Command::Compact(compact) => compact.run().await,
            Command::Reload(reload) => reload.run().await,
            #[cfg(any(target_os = "linux", target_os = "macos", windows))]
            Command::Service(service) => service.run(),
            Command::Config(config) => config.run(),
            Command::Client(client) => client.run().await,
            Command::Demo(demo) => demo.run().await,
            Command::Bench(bench) => bench.run().await,
            Command::Generate(generate) => generate.run(),
        }
    });
    // Whatever still runs has had its time.
    runtime.shutdown_background();
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_are_well_formed() {
        CommandLine::command().debug_assert();
    }
}
