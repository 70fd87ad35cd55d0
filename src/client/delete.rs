//! `client delete`: takes back what the relay keeps.

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::output::{Output, count, note};
use super::prompt::confirm;
use super::session::{connected, open, with};

#[derive(Debug, Args)]
pub(super) struct Delete {
    /// Only what came up to this number [default: everything kept so far]
    #[arg(long, value_name = "SEQ", conflicts_with = "account")]
    through: Option<u64>,
    /// The account itself, with all that the relay knows of it, for all devices
    #[arg(long)]
    account: bool,
    /// Do not ask, for scripts
    #[arg(long)]
    yes: bool,
}

impl Delete {
    pub(super) async fn run(self, folder: &Path, output: Output) -> anyhow::Result<()> {
        let client = open(folder, None).await?;
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
                    "The relay has nothing of this account any more ({} deleted).",
                    count(envelopes, "change")
                ),
                false => format!("{} deleted from the relay.", count(envelopes, "change")),
            });
            if self.account {
                note(&format!(
                    "This device's folder, with its keys, is still there: {}",
                    folder.display()
                ));
            }
            Ok(())
        })
        .await
    }

    fn question(&self, relay: &str) -> String {
        let devices = "devices that have not received it will miss it";
        match (self.account, self.through) {
            (true, _) => format!(
                "Delete the whole account from {relay}? All its devices stop syncing, and this cannot be undone."
            ),
            (false, None) => {
                format!("Delete every change that {relay} keeps of this account? The {devices}.")
            }
            (false, Some(seq)) => {
                format!("Delete every change up to number {seq} that {relay} keeps? The {devices}.")
            }
        }
    }
}
