//! `client recover`: recovers an account with its recovery phrase.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::json;

use super::devices::{self, short_key};
use super::output::{Output, count, note};
use super::profile::NewDevice;
use super::session::{explain_refusal, report_first_connection};
use crate::sanitize::sanitize;
use crate::signals::{Interrupted, stop_requested};
use graceful_client::mnemonic::{self, WORDS};
use graceful_client::{
    Client, ClientError, Device, RecoverOptions, RecoverProgress, RecoveryKey, Status,
};
use graceful_protocol::Code;

#[derive(Debug, Args)]
pub(super) struct Recover {
    /// Relay address: wss://relay.example.org or 'wss://192.168.1.20#KEY'
    #[arg(long, value_name = "URL")]
    relay: String,
    /// Remove every other device
    #[arg(long)]
    remove_others: bool,
    #[command(flatten)]
    device: NewDevice,
}

impl Recover {
    pub(super) async fn run(self, profile_dir: PathBuf, output: Output) -> anyhow::Result<()> {
        let (recovered, name) = tokio::select! {
            recovered = self.recover(&profile_dir) => recovered?,
            () = stop_requested() => return Err(Interrupted.into()),
        };
        report_first_connection(recovered, "recovered", |status| {
            print_result(status, &name, &profile_dir, output)
        })
        .await
    }

    async fn recover(&self, profile_dir: &Path) -> anyhow::Result<(Client, String)> {
        // Checked before the phrase is typed.
        match Client::inspect(profile_dir) {
            Err(ClientError::NoProfile(_)) => {}
            _ => return Err(ClientError::ProfileExists(profile_dir.to_owned()).into()),
        }
        let device_name = self.device.name();
        let options = RecoverOptions {
            profile_dir: profile_dir.to_owned(),
            relay: self.relay.clone(),
            recovery: prompt_phrase().await?,
            device_name: device_name.clone(),
            device_id: self.device.id(),
            remove_others: self.remove_others,
            connect: self.device.connect(),
        };
        let client = Client::recover(options, progress)
            .await
            .map_err(|error| match error {
                ClientError::Refused {
                    code: Code::QuotaDevices,
                    message,
                } => {
                    anyhow!(
                        "relay refused: {message}; use --remove-others to remove the other devices"
                    )
                }
                error => explain_refusal(error),
            })?;
        Ok((client, device_name))
    }
}

/// A terminal allows retries; a pipe does not.
async fn prompt_phrase() -> anyhow::Result<RecoveryKey> {
    loop {
        note("Enter the 12 words of the recovery phrase in order, on one or more lines:");
        let typed = tokio::task::spawn_blocking(|| read(std::io::stdin().lock()));
        let typed = typed
            .await
            .context("prompt task panicked")?
            .context("cannot read the recovery phrase")?;
        match typed.parse() {
            Ok(key) => return Ok(key),
            Err(error) if std::io::stdin().is_terminal() && !typed.is_empty() => {
                note(&format!("{error}\n"));
            }
            Err(error) => return Err(anyhow::Error::from(error)),
        }
    }
}

/// Reads through the line that completes the phrase, an empty line, or the end of input.
fn read(mut input: impl std::io::BufRead) -> std::io::Result<String> {
    std::io::stderr().flush()?;
    let mut typed = String::new();
    while mnemonic::count(&typed) < WORDS {
        let mut line = String::new();
        let ended = input.read_line(&mut line)? == 0;
        let empty = line.trim().is_empty() && mnemonic::count(&typed) > 0;
        typed.push_str(&line);
        if ended || empty {
            break;
        }
    }
    Ok(typed)
}

fn progress(progress: RecoverProgress) {
    note(match progress {
        RecoverProgress::Connecting => "Connecting to the relay…",
        RecoverProgress::Asking => "Requesting the account…",
        RecoverProgress::Adding => "Found the account. Adding this device…",
        RecoverProgress::Added => "Added.",
    });
}

fn print_result(status: &Status, name: &str, profile_dir: &Path, output: Output) {
    let others: Vec<&Device> = status
        .devices
        .iter()
        .filter(|device| !device.this && !device.removed)
        .collect();
    let result = json!({
        "account": status.account.to_string(),
        "device": status.device.to_string(),
        "name": name,
        "relay": status.relay,
        "profile": profile_dir,
        "others": others.iter().map(|device| devices::as_json(device)).collect::<Vec<_>>(),
    });
    output.result(&result, || {
        let devices = count(others.len() as u64, "other device");
        format!("Recovered the account on {name}, with {devices}.")
    });
    if output.json || others.is_empty() {
        return;
    }
    note("\nThe other devices can still read new changes. Remove each lost device:");
    for device in others {
        let key = short_key(&device.key);
        // A key may start with a dash.
        let dashes = if key.starts_with('-') { "-- " } else { "" };
        let name = device
            .name
            .as_deref()
            .map_or_else(String::new, |name| format!("   ({})", sanitize(name)));
        note(&format!(
            "  graceful-relay client remove {dashes}{key}{name}"
        ));
    }
    note("The recovery phrase stays valid.");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrase_input_ends_at_last_word_empty_line_or_eof() {
        let twelve = "a b c\n\n".repeat(4);
        assert_eq!(
            read(format!("\n\n1. a b\n{}more\n", "c d e f g\n".repeat(2)).as_bytes())
                .unwrap()
                .lines()
                .count(),
            5
        );
        assert_eq!(
            read("a b c d e f g h i j k l\nmore\n".as_bytes()).unwrap(),
            "a b c d e f g h i j k l\n"
        );
        assert_eq!(read(twelve.as_bytes()).unwrap(), "a b c\n\n");
        assert_eq!(read("a b".as_bytes()).unwrap(), "a b");
        assert_eq!(read("".as_bytes()).unwrap(), "");
    }
}
