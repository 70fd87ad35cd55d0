//! `graceful-relay client`: a device on the command line, for scripts, for trying a relay, and as
//! an example of the library.
//!
//! Results go to standard output, as JSON lines with `--json`. Progress, prompts and errors go to
//! standard error.

mod devices;
mod errors;
mod format;
mod init;
mod join;
mod jsonl_reader;
mod jsonl_sink;
mod log;
mod output;
mod pair;
mod profile;
mod prompt;
mod pull;
mod purge;
mod push;
mod qr;
mod receive;
mod recover;
mod recovery_sheet;
mod remove;
mod session;
mod snapshot;
mod snapshot_io;
mod status;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use graceful_server::config::PROFILE_VARIABLE;
use output::Output;

/// The options of every client command.
#[derive(Debug, Args)]
pub(super) struct Client {
    /// Profile directory [default: ~/.local/share/graceful-relay/client]
    #[arg(long, global = true, value_name = "DIR", env = PROFILE_VARIABLE)]
    profile: Option<PathBuf>,
    /// Print JSON Lines
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create an account with this device
    Init(init::Init),
    /// Show a pairing link for a new device
    Pair(pair::Pair),
    /// Join an account with a pairing link
    Join(join::Join),
    /// Recover an account with its recovery phrase
    Recover(recover::Recover),
    /// Push changes to the other devices
    Push(push::Push),
    /// Receive changes from the other devices
    Pull(pull::Pull),
    /// Keep receiving changes, as `pull --follow`
    #[command(hide = true)]
    Follow(pull::Follow),
    /// Request a snapshot from another device
    Snapshot(snapshot::Snapshot),
    /// List the account's devices
    Devices,
    /// Remove a device from the account
    Remove(remove::Remove),
    /// Show the status of this device
    Status(status::Show),
    /// Delete stored changes or the account
    Purge(purge::Purge),
}

impl Client {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let profile_dir = profile::profile_dir(self.profile)?;
        let output = Output { json: self.json };
        match self.command {
            Command::Init(init) => init.run(profile_dir, output).await,
            Command::Pair(pair) => pair.run(&profile_dir, output).await,
            Command::Join(join) => join.run(profile_dir, output).await,
            Command::Recover(recover) => recover.run(profile_dir, output).await,
            Command::Push(push) => push.run(&profile_dir, output).await,
            Command::Pull(pull) => pull.run(&profile_dir, output).await,
            Command::Follow(follow) => follow.into_pull().run(&profile_dir, output).await,
            Command::Snapshot(snapshot) => snapshot.run(&profile_dir, output).await,
            Command::Devices => devices::run(&profile_dir, output).await,
            Command::Remove(remove) => remove.run(&profile_dir, output).await,
            Command::Status(show) => show.run(&profile_dir, output).await,
            Command::Purge(purge) => purge.run(&profile_dir, output).await,
        }
    }
}
