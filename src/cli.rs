//! The command line: parses arguments, runs the command, prints the error.
//!
//! Errors are printed here and nowhere else.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::operator::{
    account, backup, compact, config, doctor, drain, healthcheck, invite, reload, restore, sla,
    status, verify,
};
#[cfg(windows)]
use crate::serve::windows_service;
#[cfg(any(target_os = "linux", target_os = "macos", windows))]
use crate::service;
use crate::{bench, client, demo, generate, serve, signals};

use graceful_server::config::ConfigErrors;

/// End-to-end encrypted sync server for local-first apps.
#[derive(Debug, Parser)]
#[command(
    name = "graceful-relay",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the relay
    Serve(serve::Serve),
    /// Create invitations
    #[command(subcommand)]
    Invite(invite::Invite),
    /// Show relay status
    Status(status::Status),
    /// List, show, limit and delete accounts
    #[command(subcommand)]
    Account(account::Account),
    /// Find problems on this machine
    Doctor(doctor::Doctor),
    /// Report uptime
    #[command(subcommand)]
    Sla(sla::Sla),
    /// Exit with 1 unless the relay is ready
    Healthcheck(healthcheck::Healthcheck),
    /// Disconnect devices gradually, then stop the relay
    Drain(drain::Drain),
    /// Create a backup, online or offline
    Backup(backup::Backup),
    /// Restore a backup to a stopped relay
    Restore(restore::Restore),
    /// Verify that all stored data is encrypted
    Verify(verify::Verify),
    /// Compact the store of a stopped relay
    Compact(compact::Compact),
    /// Reload configuration and certificate
    Reload(reload::Reload),
    /// Manage the system service
    #[cfg(any(target_os = "linux", target_os = "macos", windows))]
    #[command(subcommand)]
    Service(service::Service),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(config::Config),
    /// Act as a device of an account
    Client(client::Client),
    /// Run a relay and three devices locally
    Demo(demo::Demo),
    /// Measure a relay under load
    Bench(bench::Bench),
    /// Generate manual pages and shell completions
    #[command(subcommand, hide = true)]
    Generate(generate::Generate),
}

/// Threads that read the store. More would wait for the same disk, each with its own stack.
const BLOCKING_THREADS_MAX: usize = 16;

/// EX_CONFIG of sysexits.h: a restart cannot help before the configuration is fixed.
const CONFIG_ERROR: u8 = 78;

/// Runs the command. Exit codes: 2 for wrong arguments, 78 for a wrong configuration, 130 for Ctrl-C,
/// 1 for any other failure.
pub fn run() -> ExitCode {
    let line = CommandLine::parse();
    match execute_here(line.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<signals::Interrupted>() => {
            ExitCode::from(signals::INTERRUPTED_EXIT_CODE)
        }
        Err(error) => {
            // The findings are printed already.
            if let Some(doctor::ProblemsFound(code)) = error.downcast_ref() {
                return ExitCode::from(*code);
            }
            eprintln!("graceful-relay: {error:#}");
            match error.is::<ConfigErrors>() {
                true => ExitCode::from(CONFIG_ERROR),
                false => ExitCode::FAILURE,
            }
        }
    }
}

/// A Windows service runs on a thread of the service manager.
#[cfg(windows)]
fn execute_here(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(serve) if serve.is_service() => {
            windows_service::run(serve, |serve| execute(Command::Serve(serve)))
        }
        command => execute(command),
    }
}

/// A daemon detaches before there are any threads.
#[cfg(not(windows))]
fn execute_here(command: Command) -> anyhow::Result<()> {
    #[cfg(unix)]
    if let Command::Serve(serve) = &command {
        serve.daemonize()?;
    }
    execute(command)
}

fn execute(command: Command) -> anyhow::Result<()> {
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
            Command::Verify(verify) => verify.run().await,
            Command::Compact(compact) => compact.run().await,
            Command::Reload(reload) => reload.run().await,
            #[cfg(any(target_os = "linux", target_os = "macos", windows))]
            Command::Service(service) => service.run(),
            Command::Config(config) => config.run(),
            Command::Client(client) => client.run().await,
            Command::Demo(demo) => demo.run().await,
            Command::Bench(bench) => bench.run().await,
            Command::Generate(generate) => generate.run(CommandLine::command()),
        }
    });
    // Tasks that still run had their time.
    runtime.shutdown_background();
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_well_formed() {
        CommandLine::command().debug_assert();
    }

    /// Every command that has no commands of its own, as it is typed.
    fn leaves(command: &clap::Command, above: &str, leaves: &mut Vec<String>) {
        for command in command.get_subcommands() {
            let path = format!("{above} {}", command.get_name());
            if command.is_hide_set() || command.get_name() == "help" {
                continue;
            }
            if command.has_subcommands() {
                self::leaves(command, &path, leaves);
            } else {
                leaves.push(path.trim_start().to_owned());
            }
        }
    }

    #[test]
    fn reference_page_lists_every_command() {
        let page = include_str!("../docs/reference/cli.md");
        let mut commands = Vec::new();
        leaves(&CommandLine::command(), "", &mut commands);
        assert!(
            commands.len() > 30,
            "only {} commands found",
            commands.len()
        );
        for command in commands {
            let listed = [' ', '`']
                .iter()
                .any(|end| page.contains(&format!("`{command}{end}")));
            assert!(listed, "docs/reference/cli.md does not list `{command}`");
        }
    }
}
