//! `graceful-relay compact`: rewrites the store without free pages and deleted rows.

use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use indicatif::{DecimalBytes, HumanCount, ProgressBar, ProgressStyle};

use crate::config_args::ConfigArgs;
use graceful_store::{self, Compacted, FILE, Options, StoreError};

/// Rows between two updates of the progress bar.
const STEP_ROWS: u64 = 1_000;

#[derive(Debug, Args)]
pub(crate) struct Compact {
    /// Print JSON
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
            bail!("no store in {}; use another --data-dir", folder.display());
        }
        let options = config.store_options();
        let compacted = tokio::task::spawn_blocking(move || compact(folder, options)).await;
        let Compacted {
            bytes_before,
            bytes_after,
            rows,
        } = compacted.context("compaction task panicked")??;
        if self.json {
            let result = serde_json::json!({ "bytes_before": bytes_before, "bytes_after": bytes_after, "rows": rows });
            println!("{result}");
        } else {
            println!(
                "Compacted from {} to {}: {} rows copied and verified. No deleted row remains.",
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
            "a relay is running on {}; stop it, compact, and start it again",
            folder.display()
        ),
        error => error.into(),
    })
}
