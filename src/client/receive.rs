//! What becomes of what came: it goes to the log, then to where the person wants it; and who asks for
//! the past is answered.

use std::collections::BTreeSet;
use std::io::Write;

use console::Term;

use super::errors::name;
use super::jsonl_sink::JsonlSink;
use super::log::Log;
use super::output::{Output, count, note};
use super::{format, snapshot_io};
use graceful_client::{
    ChangeKind, Client, ClientError, Incoming, Position, PushError, PushReceipt,
};
use graceful_protocol::DeviceKey;

/// Where changes go.
pub(super) enum Sink {
    Screen(Output),
    File(JsonlSink),
}

/// What was taken, and is still to be answered before it is said to be applied.
#[derive(Debug, Default)]
pub(super) struct BatchOutcome {
    /// Changes and gaps.
    pub(super) changes: u64,
    /// Whom to ask for what is missing; `None`: nobody has it for certain.
    lacking: BTreeSet<Option<DeviceKey>>,
    wanted: Vec<DeviceKey>,
}

/// How a line is to look.
#[derive(Debug, Clone, Copy)]
enum Form {
    Json,
    Text { columns: usize },
}

/// Returns when all of it is where it belongs. The log comes first: what is in it and not yet in the
/// copy comes again after a crash, and is known to have come from the relay, or by which snapshot.
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
                // What was for this device alone is not to be told to others.
                if !received.targeted {
                    log.add(sender, push_number, &format::json(incoming));
                }
                if !log.has_brought(&sender, push_number) {
                    outcome.push_line(incoming, form, &mut lines);
                }
            }
            Incoming::Gap(gap) => {
                note(&format::text(incoming, usize::MAX));
                outcome.lacking.insert(gap.whom_to_ask());
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

/// What a snapshot brought that was not here. How many changes.
fn receive_snapshot(
    past: &str,
    snapshot: &Position,
    form: Form,
    log: &mut Log,
    lines: &mut Vec<String>,
) -> anyhow::Result<u64> {
    let brought = log.add_brought(snapshot, past)?;
    let changes = brought.lines.len() as u64;
    note(&format!(
        "A snapshot came: {} that this device lacked.",
        count(changes, "change")
    ));
    if brought.unreadable > 0 {
        note(&format!(
            "{} in it cannot be read.",
            count(brought.unreadable, "line")
        ));
    }
    match form {
        Form::Json => {
            lines.extend(brought.lines);
            lines.push(format::snapshot_end(snapshot, changes));
        }
        Form::Text { columns } => {
            let entries = brought
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

    /// Gives those that asked what this device has, and asks for what it lacks itself.
    pub(super) async fn answer(&self, client: &Client, log: &Log) -> anyhow::Result<()> {
        for device in &self.wanted {
            match snapshot_io::send(client, log, *device).await {
                Ok(changes) => {
                    let changes = count(changes, "change");
                    note(&format!(
                        "{} asked for what this device has: {changes}.",
                        name(client, device)
                    ));
                }
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(error),
            }
        }
        for from in &self.lacking {
            match ask(client, *from).await {
                Ok(_) => note(
                    "Another device is asked for what is missing; its answer comes when it is there.",
                ),
                Err(ClientError::Push(PushError::Alone)) => {
                    note("There is no other device to ask for it.")
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Asks this device, or any if it was removed since.
async fn ask(client: &Client, from: Option<DeviceKey>) -> Result<PushReceipt, ClientError> {
    match client.request_snapshot(from).await {
        Err(ClientError::Push(PushError::Recipient)) => client.request_snapshot(None).await,
        asked => asked,
    }
}

/// The device that asked was removed since.
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
