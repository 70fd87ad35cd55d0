//! `client push`: takes changes into the outbox, and waits until the relay has them on disk.

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

/// For the relay to answer, where nothing is known to wait for it.
const ANSWER_WAIT: Duration = Duration::from_secs(3);
const ADVICE: &str = "the changes are safe in this device's outbox, and it keeps trying \
                      (Ctrl-C leaves them there; `graceful-relay client push` sends them later)";

#[derive(Debug, Args)]
pub(super) struct Push {
    /// Each line of this file is one change, in JSON; - is the standard input
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    jsonl: Option<PathBuf>,
    /// Leave it in the outbox if the relay does not take it at once
    #[arg(long)]
    no_wait: bool,
    /// One change, as plain text
    text: Vec<String>,
}

impl Push {
    pub(super) async fn run(self, folder: &Path, output: Output) -> anyhow::Result<()> {
        // The device first: a large file need not be read to find out that there is none.
        let client = open(folder, None).await?;
        let done = with(client, async |client| {
            self.push(client, folder, output).await
        })
        .await;
        if let Err(error) = &done
            && error.is::<Interrupted>()
        {
            note("\nWhat is in the outbox stays there; `graceful-relay client push` sends it.");
        }
        done
    }

    async fn push(self, client: &Client, folder: &Path, output: Output) -> anyhow::Result<()> {
        let no_wait = self.no_wait;
        let changes = tokio::task::spawn_blocking(move || self.changes()).await;
        let changes = changes.context("reading ended badly")??;
        let pushed = changes.len() as u64;
        let mut log = Log::open(folder, client).await?;
        let receipt = client.push(changes.clone()).await?;
        tokio::task::block_in_place(|| log.add_own(client, &receipt.numbers, &changes))?;
        if no_wait {
            let waiting = client.status().waiting;
            tell(output, pushed, receipt, waiting);
            note("`graceful-relay client push` sends what waits.");
            return Ok(());
        }
        if pushed == 0 {
            // A relay that was restored may lack what it had: only it can say.
            settled(client, ANSWER_WAIT).await;
        }
        stored(client).await?;
        tell(output, pushed, receipt, 0);
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

/// Shows how many wait, and why, until none does.
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
        () = errors::tell(client, ADVICE, |text| bar.suspend(|| note(text))) => Ok(()),
    };
    bar.finish_and_clear();
    Ok(stored?)
}

fn tell(output: Output, pushed: u64, receipt: PushReceipt, waiting: u64) {
    let numbers = (pushed > 0).then_some((receipt.first, receipt.last));
    let result = json!({
        "pushed": pushed,
        "first": numbers.map(|numbers| numbers.0),
        "last": numbers.map(|numbers| numbers.1),
        "waiting": waiting,
    });
    output.result(&result, || match (pushed, waiting) {
        (0, 0) => "Nothing waits: the relay has everything.".to_owned(),
        (_, 0) => format!("{} stored at the relay.", count(pushed, "change")),
        _ => format!(
            "{} in the outbox, waiting for the relay.",
            count(waiting, "change")
        ),
    });
}
