//! Receives all changes on one device, verifies them, and writes a copy.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use data_encoding::HEXLOWER;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::sync::broadcast::Receiver;

use graceful_client::{Client, Event, Incoming, Received};

/// Changes per write and acknowledgement.
const BATCH_CHANGES: usize = 500;
const BATCH_WAIT: Duration = Duration::from_millis(2);

/// The result of one receiving device.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ReceivedCopy {
    /// Changes received.
    pub(super) changes: u64,
    /// Hash of its file, one change per line.
    pub(super) sha256: String,
    /// Seconds from opening the device until it was up to date.
    pub(super) seconds: f64,
}

/// Receives until the device is up to date.
pub(super) async fn receive(
    client: &Client,
    file: &Path,
    progress: impl Fn(u64),
) -> anyhow::Result<ReceivedCopy> {
    let started = Instant::now();
    let mut events = client.events();
    let mut changes = client.changes();
    let mut writer = CopyWriter::new(file)?;
    loop {
        let first = tokio::select! {
            biased;
            incoming = changes.next() => incoming.context("device stopped")?,
            done = client.up_to_date() => {
                done?;
                break;
            }
        };
        let mut last = first;
        writer.take(&last)?;
        for _ in 1..BATCH_CHANGES {
            let Ok(Some(next)) = tokio::time::timeout(BATCH_WAIT, changes.next()).await else {
                break;
            };
            writer.take(&next)?;
            last = next;
        }
        writer.flush()?;
        client.applied(&last).await?;
        progress(writer.changes);
        check_events(&mut events)?;
    }
    check_events(&mut events)?;
    Ok(writer.finish(started.elapsed()))
}

/// Receives the next change.
pub(super) async fn receive_one(client: &Client) -> anyhow::Result<Received> {
    match client.changes().next().await.context("device stopped")? {
        Incoming::Change(received) => {
            client.applied_through(received.position).await?;
            Ok(received)
        }
        Incoming::Gap(gap) => bail!("the relay lost the changes {} to {}", gap.from, gap.through),
        Incoming::SnapshotRequest { .. } => bail!("a device requested a snapshot"),
    }
}

/// Fails on any sign of relay misbehavior.
fn check_events(events: &mut Receiver<Event>) -> anyhow::Result<()> {
    while let Ok(event) = events.try_recv() {
        match event {
            Event::MisbehaviorDetected(misbehavior) => {
                bail!("relay misbehavior: {misbehavior}")
            }
            Event::UndecryptableEnvelope { seq, reason, .. } => {
                bail!("cannot decrypt seq {seq}: {reason}")
            }
            _ => {}
        }
    }
    Ok(())
}

struct CopyWriter {
    file: File,
    hash: Sha256,
    batch: Vec<u8>,
    changes: u64,
    seq: u64,
    push_number: u64,
}

impl CopyWriter {
    fn new(path: &Path) -> anyhow::Result<Self> {
        let file =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self {
            file,
            hash: Sha256::new(),
            batch: Vec::new(),
            changes: 0,
            seq: 0,
            push_number: 0,
        })
    }

    /// Each change comes once and in order: push number and seq increase. The hash over all of them
    /// proves that none is missing.
    fn take(&mut self, incoming: &Incoming) -> anyhow::Result<()> {
        let received = match incoming {
            Incoming::Change(received) => received,
            Incoming::Gap(gap) => {
                bail!("the relay lost the changes {} to {}", gap.from, gap.through)
            }
            Incoming::SnapshotRequest { .. } => bail!("a device requested a snapshot"),
        };
        let position = received.position;
        ensure!(
            position.push_number > self.push_number && position.seq > self.seq,
            "change {} of {} came after change {}",
            position.push_number,
            received.device_id,
            self.push_number
        );
        (self.seq, self.push_number) = (position.seq, position.push_number);
        self.changes += 1;
        self.batch.extend_from_slice(&received.content);
        self.batch.push(b'\n');
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        self.file
            .write_all(&self.batch)
            .context("cannot write a device's copy")?;
        self.hash.update(&self.batch);
        self.batch.clear();
        Ok(())
    }

    fn finish(self, elapsed: Duration) -> ReceivedCopy {
        let sha256 = HEXLOWER.encode(&self.hash.finalize());
        ReceivedCopy {
            changes: self.changes,
            sha256,
            seconds: elapsed.as_secs_f64(),
        }
    }
}
