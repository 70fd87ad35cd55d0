//! `graceful-relay compact`: the store without the room and the traces of what was deleted.

use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use indicatif::{DecimalBytes, HumanCount, ProgressBar, ProgressStyle};

use crate::config_args::ConfigArgs;
use graceful_store::{self, Compacted, FILE, Options, StoreError};

/// Rows between two movements of the bar.
const STEP_ROWS: u64 = 1_000;

#[derive(Debug, Args)]
pub(crate) struct Compact {
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config_args: ConfigArgs,
}

impl Compact {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let config = self.config_args.load(None)?;
        let folder = config.data_dir.clone();
        if !folder.join(FILE).exists() {
            bail!(
                "there is no store in {}; name its folder with --data-dir",
                folder.display()
            );
        }
        let options = config.store_options();
        let compacted = tokio::task::spawn_blocking(move || compact(folder, options)).await;
        let Compacted {
            bytes_before,
            bytes_after,
            rows,
        } = compacted.context("compacting ended badly")??;
        if self.json {
            let result = serde_json::json!({ "bytes_before": bytes_before, "bytes_after": bytes_after, "rows": rows });
            println!("{result}");
        } else {
            println!(
                "Compacted from {} to {}: {} rows, each copied and read back. Nothing of a deleted row is left in it.",
                DecimalBytes(bytes_before),
                DecimalBytes(bytes_after),
                HumanCount(rows)
            );
        }
        Ok(())
    }
}

fn compact(folder: PathBuf, options: Options) -> anyhow::Result<Compacted> {
    let style = "copying {bar:30.cyan} {human_pos} of {human_len} rows";
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(style)?);
    let compacted = graceful_store::compact(&folder, options, &mut |done, rows| {
        if done % STEP_ROWS == 0 || done == rows {
            bar.set_length(rows);
            bar.set_position(done);
        }
    });
    bar.finish_and_clear();
    compacted.map_err(|error| match error {
        StoreError::InUse { .. } => anyhow!(
            "the relay on {} is running; stop it, compact, and start it again: it cannot write to a store \
             that is being replaced",
            folder.display()
        ),
        error => error.into(),
    })
}
