//! `client remove`: removes a device from the account.

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::devices::{display_name, find, short_key};
use super::output::Output;
use super::prompt::confirm;
use super::session::{connected, open, with};

#[derive(Debug, Args)]
pub(super) struct Remove {
    /// Device name, or start of its key
    device: String,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

impl Remove {
    pub(super) async fn run(self, profile_dir: &Path, output: Output) -> anyhow::Result<()> {
        let client = open(profile_dir, None).await?;
        with(client, async |client| {
            connected(client).await?;
            let device = find(&client.devices(), &self.device)?;
            let name = display_name(&device);
            let question = format!(
                "Remove {name} ({})? It receives nothing new, but keeps what it has.",
                short_key(&device.key)
            );
            confirm(&question, self.yes).await?;
            client.remove(device.key).await?;
            let result =
                json!({ "removed": { "device": device.key.to_string(), "name": device.name } });
            output.result(&result, || {
                format!("Removed {name}. The account has new keys.")
            });
            Ok(())
        })
        .await
    }
}
