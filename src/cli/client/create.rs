//! `client create`: founds an account.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::profile;
use super::say::{Say, note};
use super::session::{advise, with};
use crate::cli::interrupted::{Interrupted, interrupted};
use crate::client::{Client, ConnectOptions, CreateOptions};

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The relay's address, like wss://relay.example.org
    #[arg(long, value_name = "URL")]
    relay: String,
    /// An invitation, where the relay asks for one
    #[arg(long, value_name = "INVITATION")]
    invite: Option<String>,
    /// What people call this device [default: the machine's name]
    #[arg(long)]
    name: Option<String>,
    /// What programs call this device; travels sealed [default: random]
    #[arg(long, value_name = "ID")]
    device_id: Option<String>,
    /// Allow ws:// to another machine: changes stay sealed, but who talks to whom can be seen
    #[arg(long)]
    plain: bool,
}

impl Create {
    pub(super) async fn run(self, folder: PathBuf, say: Say) -> anyhow::Result<()> {
        let device_name = self.name.unwrap_or_else(profile::device_name);
        let options = CreateOptions {
            folder: folder.clone(),
            relay: self.relay,
            invite: self.invite,
            device_name: device_name.clone(),
            device_id: self.device_id.unwrap_or_else(profile::random_id),
            connect: ConnectOptions { allow_plain: self.plain },
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
