//! `client create`: founds an account.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::new_device::NewDevice;
use super::say::{Say, note};
use super::session::{advise, with};
use crate::cli::interrupted::{Interrupted, interrupted};
use crate::client::{Client, CreateOptions};

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The relay's address, like wss://relay.example.org; if it made its own certificate, with its
    /// key, in quotes: 'wss://192.168.1.20#KEY'
    #[arg(long, value_name = "URL")]
    relay: String,
    /// An invitation, where the relay asks for one
    #[arg(long, value_name = "INVITATION")]
    invite: Option<String>,
    #[command(flatten)]
    device: NewDevice,
}

impl Create {
    pub(super) async fn run(self, folder: PathBuf, say: Say) -> anyhow::Result<()> {
        let device_name = self.device.name();
        let options = CreateOptions {
            folder: folder.clone(),
            relay: self.relay,
            invite: self.invite,
            device_name: device_name.clone(),
            device_id: self.device.id(),
            connect: self.device.connect(),
        };
        let client = tokio::select! {
            created = Client::create(options) => created.map_err(advise)?,
            () = interrupted() => return Err(Interrupted.into()),
        };
        with(client, async |client| {
            let status = client.status();
            let result = json!({
                "account": status.account.to_string(),
                "device": status.device.to_string(),
                "name": device_name,
                "relay": status.relay,
                "profile": folder,
            });
            say.result(&result, || format!("{device_name} is the first device of a new account."));
            if !say.json {
                note(&format!(
                    "  relay    {}\n  account  {}\n  folder   {} (holds the keys: keep it to yourself)\n\
                     To add the next device: graceful-relay client pair",
                    status.relay,
                    status.account,
                    folder.display()
                ));
            }
            Ok(())
        })
        .await
    }
}
