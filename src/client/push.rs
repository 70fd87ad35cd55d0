//! `client push`: queues changes and waits until the relay has stored them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::log::Log;
use super::output::{Output, count, note};
use super::profile::random_id;
use super::session::{open, settled, with};
use super::{errors, jsonl_reader};
use crate::signals::Interrupted;
use graceful_client::{Change, Client, PushReceipt};

/// Longest wait for an answer when nothing is queued.
const ANSWER_WAIT: Duration = Duration::from_secs(3);
const ADVICE: &str = "the changes stay in the outbox; retrying (Ctrl-C to stop; `graceful-relay client \
     push` sends them later)";

#[derive(Debug, Args)]
pub(super) struct Push {
    /// Push each line of this file (-: stdin)
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    jsonl: Option<PathBuf>,
    /// Do not wait for the relay
    #[arg(long)]
    no_wait: bool,
    /// Text to push as one change
    text: Vec<String>,
}

impl Push {
    pub(super) async fn run(self, profile_dir: &Path, output: Output) -> anyhow::Result<()> {
        // Opened first: without a device, a large file need not be read.
        let client = open(profile_dir, None).await?;
        let done = with(client, async |client| {
            self.push(client, profile_dir, output).await
        })
        .await;
        if let Err(error) = &done
            && error.is::<Interrupted>()
        {
            note(
                "\nQueued changes stay in the outbox. To send them, run: graceful-relay \
                 client push",
            );
        }
        done
    }

    async fn push(self, client: &Client, profile_dir: &Path, output: Output) -> anyhow::Result<()> {
        let no_wait = self.no_wait;
        let changes = tokio::task::spawn_blocking(move || self.changes()).await;
        let changes = changes.context("reader task panicked")??;
        let pushed = changes.len() as u64;
        let mut log = Log::open(profile_dir, client).await?;
        let receipt = client.push(changes.clone()).await?;
        tokio::task::block_in_place(|| log.add_own(client, &receipt.numbers, &changes))?;
        if no_wait {
            let waiting = client.status().waiting;
            print_result(output, pushed, receipt, waiting);
            note("To send queued changes, run: graceful-relay client push");
            return Ok(());
        }
        if pushed == 0 {
            // Only the relay knows whether a restore lost stored changes.
            settled(client, ANSWER_WAIT).await;
        }
        stored(client).await?;
        print_result(output, pushed, receipt, 0);
        Ok(())
    }

    fn changes(self) -> anyhow::Result<Vec<Change>> {
        match self.jsonl {
            Some(path) => {
                let bar = ProgressBar::new_spinner().with_style(ProgressStyle::with_template(
                    "{spinner} reading: {human_pos} changes",
                )?);
                let changes = jsonl_reader::read(&path, || bar.inc(1));
                bar.finish_and_clear();
                changes
            }
            None if self.text.is_empty() => Ok(Vec::new()),
            None => Ok(vec![Change::new(random_id(), self.text.join(" "))]),
        }
    }
}

/// Shows the number of waiting changes, and why, until none is left.
pub(super) async fn stored(client: &Client) -> anyhow::Result<()> {
    let style = "{spinner} stored at the relay {wide_bar} {human_pos} of {human_len}";
    let bar =
        ProgressBar::new(client.status().waiting).with_style(ProgressStyle::with_template(style)?);
    bar.enable_steady_tick(Duration::from_millis(120));
    let progress = |waiting: u64| {
        let all = bar.length().unwrap_or(0).max(waiting);
        bar.set_length(all);
        bar.set_position(all - waiting);
    };
    let stored = tokio::select! {
        stored = client.stored(progress) => stored,
        () = errors::report_events(client, ADVICE, |text| bar.suspend(|| note(text))) => Ok(()),
    };
    bar.finish_and_clear();
    Ok(stored?)
}

fn print_result(output: Output, pushed: u64, receipt: PushReceipt, waiting: u64) {
    let numbers = (pushed > 0).then_some((receipt.first, receipt.last));
    let result = json!({
        "pushed": pushed,
        "first": numbers.map(|numbers| numbers.0),
        "last": numbers.map(|numbers| numbers.1),
        "waiting": waiting,
    });
    output.result(&result, || match (pushed, waiting) {
        (0, 0) => "The outbox is empty: the relay has everything.".to_owned(),
        (_, 0) => format!("{} stored at the relay.", count(pushed, "change")),
        _ => format!("{} queued for the relay.", count(waiting, "change")),
    });
}
