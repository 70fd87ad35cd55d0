//! `client purge`: deletes stored changes or the account from the relay.

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::output::{Output, count, note};
use super::prompt::confirm;
use super::session::{connected, open, with};

#[derive(Debug, Args)]
pub(super) struct Purge {
    /// Delete only through this sequence number [default: all]
    #[arg(long, value_name = "SEQ", conflicts_with = "account")]
    through: Option<u64>,
    /// Delete the account itself, for all devices
    #[arg(long)]
    account: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

impl Purge {
    pub(super) async fn run(self, profile_dir: &Path, output: Output) -> anyhow::Result<()> {
        let client = open(profile_dir, None).await?;
        with(client, async |client| {
            connected(client).await?;
            confirm(&self.question(&client.status().relay), self.yes).await?;
            let envelopes = match (self.account, self.through) {
                (true, _) => client.delete_account().await?,
                (false, through) => client.delete_through(through.unwrap_or(u64::MAX)).await?,
            };
            let result = json!({ "deleted": envelopes, "account": self.account });
            output.result(&result, || match self.account {
                true => format!(
                    "Deleted the account from the relay ({}).",
                    count(envelopes, "change")
                ),
                false => format!("Deleted {} from the relay.", count(envelopes, "change")),
            });
            if self.account {
                note(&format!(
                    "The profile with this device's keys still exists: {}",
                    profile_dir.display()
                ));
            }
            Ok(())
        })
        .await
    }

    fn question(&self, relay: &str) -> String {
        let devices = "Devices that have not received them will miss them.";
        match (self.account, self.through) {
            (true, _) => format!(
                "Delete the account from {relay}? All devices stop syncing. This cannot \
                 be undone."
            ),
            (false, None) => {
                format!("Delete all stored changes of this account from {relay}? {devices}")
            }
            (false, Some(seq)) => {
                format!("Delete stored changes through seq {seq} from {relay}? {devices}")
            }
        }
    }
}
