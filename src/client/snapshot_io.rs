//! Snapshots of the change log.

use super::log::Log;
use graceful_client::{Client, Received};
use graceful_protocol::DeviceKey;

/// The first line of a snapshot; the others are log lines.
const FIRST_LINE: &str = "{\"graceful_relay_changes\":1}\n";
/// Largest snapshot. A longer log is sent as several independent snapshots.
const SNAPSHOT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Sends every change of the log to a device. Returns their number.
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

/// Returns the log lines of a received snapshot.
pub(super) fn lines(received: &Received) -> Option<&str> {
    std::str::from_utf8(&received.content)
        .ok()?
        .strip_prefix(FIRST_LINE)
}
