//! `client pull`: receives changes, each exactly once.

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

/// Changes per disk write.
const BATCH_CHANGES: usize = 1_000;
/// Longest wait to fill a batch.
const BATCH_WAIT: Duration = Duration::from_millis(10);
const ADVICE: &str = "retrying";

#[derive(Debug, Args)]
pub(super) struct Pull {
    #[command(flatten)]
    target: Target,
    /// Keep receiving until interrupted
    #[arg(long, conflicts_with = "until")]
    follow: bool,
}

/// The options of the alias `follow`.
#[derive(Debug, Args)]
pub(super) struct Follow {
    #[command(flatten)]
    target: Target,
    /// Exit when up to date
    #[arg(long, conflicts_with = "until")]
    until_up_to_date: bool,
}

#[derive(Debug, Args)]
struct Target {
    /// Append each change to this file exactly once
    #[arg(long, value_name = "FILE")]
    jsonl: Option<PathBuf>,
    /// Exit after this many changes
    #[arg(long, value_name = "CHANGES")]
    until: Option<u64>,
}

impl Follow {
    pub(super) fn into_pull(self) -> Pull {
        Pull {
            follow: self.target.until.is_none() && !self.until_up_to_date,
            target: self.target,
        }
    }
}

impl Pull {
    pub(super) async fn run(self, profile_dir: &Path, output: Output) -> anyhow::Result<()> {
        let copy = self
            .target
            .jsonl
            .as_deref()
            .map(JsonlSink::open)
            .transpose()?;
        let client = open(profile_dir, copy.as_ref().and_then(|copy| copy.applied)).await?;
        let sink = copy.map_or(Sink::Screen(output), Sink::File);
        let profile_dir = profile_dir.to_owned();
        let done = with(client, async |client| {
            tokio::select! {
                done = self.pull(client, &profile_dir, sink) => done,
                () = errors::report_events(client, ADVICE, note) => Ok(()),
            }
        })
        .await;
        match done {
            // Without a limit, an interrupt is the regular end.
            Err(error) if self.follow && error.is::<Interrupted>() => Ok(()),
            done => done,
        }
    }

    async fn pull(
        &self,
        client: &Client,
        profile_dir: &Path,
        mut sink: Sink,
    ) -> anyhow::Result<()> {
        let mut log = Log::open(profile_dir, client).await?;
        let mut changes = client.changes();
        let mut left = self.target.until.unwrap_or(u64::MAX);
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

    /// Returns `None` when there is nothing more to wait for.
    async fn next(
        &self,
        client: &Client,
        changes: &mut Changes,
    ) -> anyhow::Result<Option<Incoming>> {
        let done = async {
            if !self.follow && self.target.until.is_none() {
                client.up_to_date().await
            } else {
                refused(client).await
            }
        };
        tokio::select! {
            biased;
            incoming = changes.next() => Ok(Some(incoming.context("client stopped")?)),
            done = done => Ok(done.map(|()| None)?),
        }
    }
}

/// Resolves when the relay refuses this device for good.
async fn refused(client: &Client) -> Result<(), ClientError> {
    let mut status = client.watch();
    let refused = |status: &Status| matches!(status.state, State::Refused { .. });
    let Ok(status) = status.wait_for(refused).await else {
        return std::future::pending().await;
    };
    match &status.state {
        State::Refused { code, message } => Err(ClientError::Refused {
            code: *code,
            message: message.clone(),
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
