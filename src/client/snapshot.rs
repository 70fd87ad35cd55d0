//! `client snapshot`: asks another device for the changes that it has, or gives it those of this one.

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::log::Log;
use super::pair::called;
use super::past;
use super::push::stored;
use super::remove::find;
use super::say::{Say, count, note};
use super::session::{open, with};
use graceful_client::{Client, Device};

#[derive(Debug, Args)]
pub(super) struct Snapshot {
    /// Ask this device, by its name or the beginning of its key [default: the one heard last]
    #[arg(long, value_name = "DEVICE", conflicts_with = "to")]
    from: Option<String>,
    /// Do not ask, but give this device every change that this one has
    #[arg(long, value_name = "DEVICE")]
    to: Option<String>,
}

impl Snapshot {
    pub(super) async fn run(self, folder: &Path, say: Say) -> anyhow::Result<()> {
        let client = open(folder, None).await?;
        with(client, async |client| match &self.to {
            Some(to) => give(client, folder, &other(client, to)?, say).await,
            None => {
                let from = self
                    .from
                    .as_deref()
                    .map(|from| other(client, from))
                    .transpose()?;
                ask(client, from, say).await
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

async fn give(client: &Client, folder: &Path, device: &Device, say: Say) -> anyhow::Result<()> {
    let log = Log::open(folder, client).await?;
    let changes = past::send(client, &log, device.key).await?;
    stored(client).await?;
    let result = json!({ "to": device.key.to_string(), "changes": changes });
    say.result(&result, || {
        format!(
            "{} for {}, which takes what it lacks.",
            count(changes, "change"),
            called(device)
        )
    });
    Ok(())
}

async fn ask(client: &Client, device: Option<Device>, say: Say) -> anyhow::Result<()> {
    client
        .request_snapshot(device.as_ref().map(|device| device.key))
        .await?;
    stored(client).await?;
    let result = json!({ "from": device.as_ref().map(|device| device.key.to_string()) });
    let name = device
        .as_ref()
        .map_or_else(|| "The device that was heard last".to_owned(), called);
    say.result(&result, || format!("{name} is asked for what it has."));
    note(
        "It answers while `graceful-relay client follow` runs there; then it comes by `follow` here.",
    );
    Ok(())
}
