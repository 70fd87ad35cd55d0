//! `graceful-relay client`: one device on the command line, for scripts, for trying a relay, and as
//! an example of how an app uses the library.
//!
//! What was asked for goes to the standard output, a line of JSON each with `--json`; progress,
//! questions and trouble go to the standard error stream.

mod create;
mod delete;
mod devices;
mod errors;
mod follow;
mod format;
mod join;
mod jsonl_reader;
mod jsonl_sink;
mod log;
mod new_device;
mod output;
mod pair;
mod profile;
mod prompt;
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

/// What every command of a device needs to know.
#[derive(Debug, Args)]
pub(super) struct Client {
    /// The device's folder [default: ~/.local/share/graceful-relay/client]
    #[arg(long, global = true, value_name = "FOLDER", env = PROFILE_VARIABLE)]
    profile: Option<PathBuf>,
    /// Print JSON, one object on each line, for programs
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Found an account at a relay; this is its first device
    Create(create::Create),
    /// Show a link, with which one more device joins the account
    Pair(pair::Pair),
    /// Join an account by the link that another device shows
    Join(join::Join),
    /// Get the account back with the words of its recovery key, if every device is lost
    Recover(recover::Recover),
    /// Give changes to the account's other devices; with nothing to give, send what waits
    Push(push::Push),
    /// Receive the changes of the other devices; give those that lack something what this one has
    Follow(follow::Follow),
    /// Ask another device for the changes that it has
    Snapshot(snapshot::Snapshot),
    /// List the account's devices
    Devices,
    /// Remove a device from the account, for good
    Remove(remove::Remove),
    /// Output how this device stands; works offline too
    Status(status::Show),
    /// Delete what the relay keeps of this account
    Delete(delete::Delete),
}

impl Client {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let folder = profile::folder(self.profile)?;
        let output = Output { json: self.json };
        match self.command {
            Command::Create(create) => create.run(folder, output).await,
            Command::Pair(pair) => pair.run(&folder, output).await,
            Command::Join(join) => join.run(folder, output).await,
            Command::Recover(recover) => recover.run(folder, output).await,
            Command::Push(push) => push.run(&folder, output).await,
            Command::Follow(follow) => follow.run(&folder, output).await,
            Command::Snapshot(snapshot) => snapshot.run(&folder, output).await,
            Command::Devices => devices::run(&folder, output).await,
            Command::Remove(remove) => remove.run(&folder, output).await,
            Command::Status(show) => show.run(&folder, output).await,
            Command::Delete(delete) => delete.run(&folder, output).await,
        }
    }
}
