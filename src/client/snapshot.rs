//! `client snapshot`: requests a snapshot from another device, or sends one.

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::devices::{display_name, find};
use super::log::Log;
use super::output::{Output, count, note};
use super::push::stored;
use super::session::{open, with};
use super::snapshot_io;
use graceful_client::{Client, Device};

#[derive(Debug, Args)]
pub(super) struct Snapshot {
    /// Request from this device [default: latest sender]
    #[arg(long, value_name = "DEVICE", conflicts_with = "to")]
    from: Option<String>,
    /// Send this device's changes to DEVICE instead
    #[arg(long, value_name = "DEVICE")]
    to: Option<String>,
}

impl Snapshot {
    pub(super) async fn run(self, profile_dir: &Path, output: Output) -> anyhow::Result<()> {
        let client = open(profile_dir, None).await?;
        with(client, async |client| match &self.to {
            Some(to) => send(client, profile_dir, &other(client, to)?, output).await,
            None => {
                let from = self
                    .from
                    .as_deref()
                    .map(|from| other(client, from))
                    .transpose()?;
                request(client, from, output).await
            }
        })
        .await
    }
}

fn other(client: &Client, wanted: &str) -> anyhow::Result<Device> {
    let others: Vec<_> = client
        .devices()
        .into_iter()
        .filter(|device| !device.this)
        .collect();
    find(&others, wanted)
}

async fn send(
    client: &Client,
    profile_dir: &Path,
    device: &Device,
    output: Output,
) -> anyhow::Result<()> {
    let log = Log::open(profile_dir, client).await?;
    let changes = snapshot_io::send(client, &log, device.key).await?;
    stored(client).await?;
    let result = json!({ "to": device.key.to_string(), "changes": changes });
    output.result(&result, || {
        format!(
            "Sent {} to {}.",
            count(changes, "change"),
            display_name(device)
        )
    });
    Ok(())
}

async fn request(client: &Client, device: Option<Device>, output: Output) -> anyhow::Result<()> {
    client
        .request_snapshot(device.as_ref().map(|device| device.key))
        .await?;
    stored(client).await?;
    let result = json!({ "from": device.as_ref().map(|device| device.key.to_string()) });
    let name = device
        .as_ref()
        .map_or_else(|| "the latest sender".to_owned(), display_name);
    output.result(&result, || format!("Requested a snapshot from: {name}."));
    note(
        "The other device answers when `graceful-relay client pull` runs there. Receive the snapshot \
         with `pull` here.",
    );
    Ok(())
}
