//! `client follow`: receives changes, to be read or to be kept, each exactly once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::errors;
use super::jsonl_sink::JsonlSink;
use super::log::Log;
use super::output::{Output, note};
use super::receive::{Sink, receive};
use super::session::{open, with};
use crate::signals::Interrupted;
use graceful_client::{Changes, Client, ClientError, Incoming, State, Status};

/// Changes that share one write to the disk.
const BATCH_CHANGES: usize = 1_000;
/// How long a batch waits for company.
const BATCH_WAIT: Duration = Duration::from_millis(10);
const ADVICE: &str = "trying again";

#[derive(Debug, Args)]
pub(super) struct Follow {
    /// Append each change to this file, exactly once, even if this program is killed on the way
    #[arg(long, value_name = "FILE")]
    jsonl: Option<PathBuf>,
    /// End after this many changes
    #[arg(long, value_name = "CHANGES", conflicts_with = "until_up_to_date")]
    until: Option<u64>,
    /// End when there is nothing more for now
    #[arg(long)]
    until_up_to_date: bool,
}

impl Follow {
    pub(super) async fn run(self, folder: &Path, output: Output) -> anyhow::Result<()> {
        let copy = self.jsonl.as_deref().map(JsonlSink::open).transpose()?;
        let client = open(folder, copy.as_ref().and_then(|copy| copy.applied)).await?;
        let sink = copy.map_or(Sink::Screen(output), Sink::File);
        let folder = folder.to_owned();
        let endless = self.until.is_none() && !self.until_up_to_date;
        let done = with(client, async |client| {
            tokio::select! {
                done = self.follow(client, &folder, sink) => done,
                () = errors::tell(client, ADVICE, note) => Ok(()),
            }
        })
        .await;
        match done {
            // Without another end, this is how it ends.
            Err(error) if endless && error.is::<Interrupted>() => Ok(()),
            done => done,
        }
    }

    async fn follow(&self, client: &Client, folder: &Path, mut sink: Sink) -> anyhow::Result<()> {
        let mut log = Log::open(folder, client).await?;
        let mut changes = client.changes();
        let mut left = self.until.unwrap_or(u64::MAX);
        while left > 0 {
            let Some(first) = self.next(client, &mut changes).await? else {
                return Ok(());
            };
            let most = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(BATCH_CHANGES);
            let batch = fill(first, &mut changes, most).await;
            let outcome = tokio::task::block_in_place(|| receive(&batch, &mut log, &mut sink))?;
            left = left.saturating_sub(outcome.changes);
            outcome.answer(client, &log).await?;
            if let Some(last) = batch.last() {
                client.applied(last).await?;
            }
        }
        Ok(())
    }

    /// `None` when there is nothing more to wait for.
    async fn next(
        &self,
        client: &Client,
        changes: &mut Changes,
    ) -> anyhow::Result<Option<Incoming>> {
        let done = async {
            if self.until_up_to_date {
                client.up_to_date().await
            } else {
                refused(client).await
            }
        };
        tokio::select! {
            biased;
            incoming = changes.next() => Ok(Some(incoming.context("the client stopped")?)),
            done = done => Ok(done.map(|()| None)?),
        }
    }
}

/// Resolves when the relay will not have this device any more.
async fn refused(client: &Client) -> Result<(), ClientError> {
    let mut status = client.watch();
    let refused = |status: &Status| matches!(status.state, State::Refused { .. });
    let Ok(status) = status.wait_for(refused).await else {
        return std::future::pending().await;
    };
    match &status.state {
        State::Refused { code, text } => Err(ClientError::Refused {
            code: *code,
            text: text.clone(),
        }),
        _ => Ok(()),
    }
}

async fn fill(first: Incoming, changes: &mut Changes, most: usize) -> Vec<Incoming> {
    let mut batch = vec![first];
    while batch.len() < most {
        match tokio::time::timeout(BATCH_WAIT, changes.next()).await {
            Ok(Some(incoming)) => batch.push(incoming),
            Ok(None) | Err(_) => break,
        }
    }
    batch
}
