//! `graceful-relay restored`: says that the data folder was put back from a backup.

use anyhow::{Context, bail};
use clap::Args;

use super::config_args::ConfigArgs;
use graceful_store::{FILE, Identity, Options, Store};

/// To be run once, after the files were put back and before the relay is started.
#[derive(Debug, Args)]
pub(super) struct Restored {
    #[command(flatten)]
    config_args: ConfigArgs,
}

impl Restored {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let folder = self.config_args.load(None)?.folder;
        if !folder.join(FILE).exists() {
            bail!(
                "there is no store in {}; put the files of the backup there first, or name their folder with --data",
                folder.display()
            );
        }
        let begin = move || {
            let store = Store::open(&folder, Options::default())?;
            store.begin_epoch(Identity::generate().epoch)
        };
        tokio::task::spawn_blocking(begin)
            .await
            .context("opening the store ended badly")??;
        println!(
            "Devices will be told that this relay was restored, and push again what it lacks."
        );
        Ok(())
    }
}
