//! `graceful-relay demo`: runs a relay and three devices on this machine, sends a ledger through
//! them, and prints what each side saw. Every printed claim is verified; otherwise the demo fails.

mod devices;
mod fixtures;
mod ledger;
mod page;
mod progress;
mod receive;
mod relay;
mod relay_view;
mod report;
mod scenario;
mod search;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;

use super::signals::{Interrupted, stop_requested};
use super::temp_dir::TempDir;
use progress::Progress;

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Sync the lines of this file instead
    #[arg(long, value_name = "FILE")]
    changes: Option<PathBuf>,
    /// Keep the temporary directory
    #[arg(long)]
    keep: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Demo {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let lines = match &self.changes {
            Some(path) => read(path)?,
            None => ledger::lines()
                .into_iter()
                .map(String::into_bytes)
                .collect(),
        };
        let source = self
            .changes
            .as_deref()
            .map(|path| path.display().to_string());
        let progress = Progress::new(self.json);
        // Installed before there is anything to clean up.
        let interrupted = stop_requested();
        let dir = TempDir::new("demo", self.keep)?;
        // The directory is removed when this function returns, in both cases.
        let report = tokio::select! {
            report = scenario::run(dir.path(), lines, source, &progress) => report?,
            () = interrupted => return Err(Interrupted.into()),
        };
        if self.json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            print!("{}", page::page(&report, page::columns()));
        }
        if self.keep {
            eprintln!("\nThe directory was kept: {}", dir.path().display());
        }
        Ok(())
    }
}

/// Reads the lines of a file without their ends.
fn read(path: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty());
    let lines: Vec<_> = lines.map(<[u8]>::to_vec).collect();
    ensure!(
        !lines.is_empty(),
        "{} has no lines; each line is one change",
        path.display()
    );
    Ok(lines)
}
