//! Processing of received items: append to the log, write to the output, answer snapshot requests.

use std::collections::BTreeSet;
use std::io::Write;

use console::Term;

use super::devices::device_name;
use super::jsonl_sink::JsonlSink;
use super::log::Log;
use super::output::{Output, count, note};
use super::{format, snapshot_io};
use graceful_client::{
    ChangeKind, Client, ClientError, Incoming, Position, PushError, PushReceipt,
};
use graceful_protocol::DeviceKey;

/// The destination of changes.
pub(super) enum Sink {
    Screen(Output),
    File(JsonlSink),
}

/// The result of a batch, with the answers due before it is acknowledged.
#[derive(Debug, Default)]
pub(super) struct BatchOutcome {
    /// Changes and gaps.
    pub(super) changes: u64,
    /// Devices to request missing changes from; `None` means any.
    lacking: BTreeSet<Option<DeviceKey>>,
    wanted: Vec<DeviceKey>,
}

/// The format of a line.
#[derive(Debug, Clone, Copy)]
enum Form {
    Json,
    Text { columns: usize },
}

/// Processes a batch and returns when it is stored. The log comes first: a change in the log but
/// not yet in the file is delivered again after a crash, and its origin is known.
pub(super) fn receive(
    batch: &[Incoming],
    log: &mut Log,
    sink: &mut Sink,
) -> anyhow::Result<BatchOutcome> {
    let form = sink.form();
    let (mut outcome, mut lines) = (BatchOutcome::default(), Vec::new());
    for incoming in batch {
        match incoming {
            Incoming::Change(received) if received.kind == ChangeKind::Snapshot => {
                match snapshot_io::lines(received) {
                    Some(past) => {
                        outcome.changes +=
                            receive_snapshot(past, &received.position, form, log, &mut lines)?;
                    }
                    None => outcome.push_line(incoming, form, &mut lines),
                }
            }
            Incoming::Change(received) => {
                let Position {
                    sender,
                    push_number,
                    ..
                } = received.position;
                // A change for this device alone is not passed on.
                if !received.targeted {
                    log.add(sender, push_number, &format::json(incoming));
                }
                if !log.has_from_snapshot(&sender, push_number) {
                    outcome.push_line(incoming, form, &mut lines);
                }
            }
            Incoming::Gap(gap) => {
                note(&format::text(incoming, usize::MAX));
                outcome.lacking.insert(gap.recommended_source());
                outcome.push_line(incoming, form, &mut lines);
            }
            Incoming::SnapshotRequest { device, .. } => {
                outcome.wanted.push(*device);
                lines.extend(form.json(|| format::json(incoming)));
            }
        }
    }
    log.sync()?;
    sink.take(&lines)?;
    Ok(outcome)
}

/// Adds a snapshot's new changes. Returns their number.
fn receive_snapshot(
    past: &str,
    snapshot: &Position,
    form: Form,
    log: &mut Log,
    lines: &mut Vec<String>,
) -> anyhow::Result<u64> {
    let added = log.add_snapshot(snapshot, past)?;
    let changes = added.lines.len() as u64;
    note(&format!(
        "Received a snapshot with {} new to this device.",
        count(changes, "change")
    ));
    if added.unreadable > 0 {
        note(&format!(
            "Skipped {} of the snapshot that cannot be parsed.",
            count(added.unreadable, "line")
        ));
    }
    match form {
        Form::Json => {
            lines.extend(added.lines);
            lines.push(format::snapshot_end(snapshot, changes));
        }
        Form::Text { columns } => {
            let entries = added
                .lines
                .iter()
                .filter_map(|line| format::LogLine::read(line));
            lines.extend(entries.map(|(_, entry)| entry.text(columns)));
        }
    }
    Ok(changes)
}

impl BatchOutcome {
    fn push_line(&mut self, incoming: &Incoming, form: Form, lines: &mut Vec<String>) {
        self.changes += 1;
        match (form, incoming) {
            (Form::Json, _) => lines.push(format::json(incoming)),
            (Form::Text { columns }, Incoming::Change(_)) => {
                lines.push(format::text(incoming, columns))
            }
            (Form::Text { .. }, _) => {}
        }
    }

    /// Answers snapshot requests and requests missing changes.
    pub(super) async fn answer(&self, client: &Client, log: &Log) -> anyhow::Result<()> {
        for device in &self.wanted {
            match snapshot_io::send(client, log, *device).await {
                Ok(changes) => {
                    let changes = count(changes, "change");
                    note(&format!(
                        "Sending {} a snapshot of {changes}.",
                        device_name(client, device)
                    ));
                }
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(error),
            }
        }
        for from in &self.lacking {
            match request_snapshot(client, *from).await {
                Ok(_) => note("Requested the missing changes from another device."),
                Err(ClientError::Push(PushError::Alone)) => {
                    note("No other device can send the missing changes.")
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Requests a snapshot from a device, or from any if it was removed.
async fn request_snapshot(
    client: &Client,
    from: Option<DeviceKey>,
) -> Result<PushReceipt, ClientError> {
    match client.request_snapshot(from).await {
        Err(ClientError::Push(PushError::Recipient)) => client.request_snapshot(None).await,
        asked => asked,
    }
}

/// Returns whether the requesting device was removed.
fn is_gone(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(ClientError::Push(PushError::Recipient))
    )
}

impl Form {
    fn json(self, line: impl FnOnce() -> String) -> Option<String> {
        matches!(self, Self::Json).then(line)
    }
}

impl Sink {
    fn form(&self) -> Form {
        match self {
            Self::Screen(Output { json: false }) => {
                let columns = Term::stdout().size_checked();
                Form::Text {
                    columns: columns.map_or(usize::MAX, |(_, columns)| usize::from(columns)),
                }
            }
            _ => Form::Json,
        }
    }

    fn take(&mut self, lines: &[String]) -> anyhow::Result<()> {
        match self {
            Self::File(sink) => sink.append(lines)?,
            Self::Screen(_) => {
                let mut out = std::io::stdout().lock();
                for line in lines {
                    writeln!(out, "{line}")?;
                }
                out.flush()?;
            }
        }
        Ok(())
    }
}
