//! `client join`: joins an account by a pairing link.

use std::fmt;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::output::{Output, count, note};
use super::profile::NewDevice;
use super::session::{explain_refusal, report_first_connection};
use crate::sanitize::sanitize;
use crate::signals::{Interrupted, stop_requested};
use graceful_client::pairing::PairingError;
use graceful_client::{Client, ClientError, JoinOptions, JoinProgress, Status};

#[derive(Args)]
pub(super) struct Join {
    /// Pairing link from the other device, in quotes
    link: String,
    #[command(flatten)]
    device: NewDevice,
}

/// Omits the link, which contains a secret.
impl fmt::Debug for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Join")
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

impl Join {
    pub(super) async fn run(self, profile_dir: PathBuf, output: Output) -> anyhow::Result<()> {
        let device_name = self.device.name();
        let options = JoinOptions {
            profile_dir: profile_dir.clone(),
            link: self.link,
            device_name: device_name.clone(),
            device_id: self.device.id(),
            connect: self.device.connect(),
        };
        let joined = tokio::select! {
            joined = Client::join(options, progress) => joined,
            () = stop_requested() => return Err(Interrupted.into()),
        };
        let client = match joined {
            Err(ClientError::Pairing(PairingError::Refused(_))) => {
                bail!("the other device declined; ask for a new link")
            }
            joined => joined.map_err(explain_refusal)?,
        };
        report_first_connection(client, "joined", |status| {
            print_result(status, &device_name, &profile_dir, output)
        })
        .await
    }
}

fn progress(progress: JoinProgress) {
    note(match progress {
        JoinProgress::Connecting => "Connecting to the relay…",
        JoinProgress::Waiting => "Waiting for confirmation on the other device…",
        JoinProgress::Accepted => "Accepted.",
    });
}

fn print_result(status: &Status, name: &str, profile_dir: &std::path::Path, output: Output) {
    let others = status
        .devices
        .iter()
        .filter(|device| !device.this && !device.removed);
    let names: Vec<String> = others
        .map(|device| sanitize(device.name.as_deref().unwrap_or("an unnamed device")))
        .collect();
    let result = json!({
        "account": status.account.to_string(),
        "device": status.device.to_string(),
        "name": name,
        "relay": status.relay,
        "profile": profile_dir,
        "others": names,
    });
    output.result(&result, || {
        let devices = count(names.len() as u64, "other device");
        format!(
            "{name} joined the account with {devices}: {}.",
            names.join(", ")
        )
    });
}
