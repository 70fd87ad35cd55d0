//! The past, for a device that lacks it: snapshots made of the log, and read back.

use super::log::Log;
use graceful_client::{Client, Received};
use graceful_protocol::DeviceKey;

/// How such a snapshot begins; its other lines are those of a log.
const FIRST_LINE: &str = "{\"graceful_relay_changes\":1}\n";
/// A longer log goes in several snapshots: each can be taken without the others.
const SNAPSHOT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Gives a device every change in the log. How many there are.
pub(super) async fn send(client: &Client, log: &Log, device: DeviceKey) -> anyhow::Result<u64> {
    let (snapshots, changes) = tokio::task::block_in_place(|| snapshots(log))?;
    for snapshot in snapshots {
        client.send_snapshot(device, snapshot).await?;
    }
    Ok(changes)
}

fn snapshots(log: &Log) -> anyhow::Result<(Vec<String>, u64)> {
    let (mut snapshots, mut changes) = (Vec::new(), 0);
    log.each(|line| {
        let fits = |snapshot: &&mut String| snapshot.len() + line.len() < SNAPSHOT_BYTES_MAX;
        if snapshots.last_mut().as_ref().is_none_or(|last| !fits(last)) {
            snapshots.push(FIRST_LINE.to_owned());
        }
        if let Some(last) = snapshots.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
        changes += 1;
    })?;
    Ok((snapshots, changes))
}

/// The lines of a snapshot that another device made in this way.
pub(super) fn lines(received: &Received) -> Option<&str> {
    std::str::from_utf8(&received.content)
        .ok()?
        .strip_prefix(FIRST_LINE)
}
