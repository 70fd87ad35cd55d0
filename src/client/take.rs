//! What becomes of what came: it goes to the log, then to where the person wants it; and who asks for
//! the past is answered.

use std::collections::BTreeSet;
use std::io::Write;

use console::Term;

use super::copy::Copy;
use super::log::Log;
use super::say::{Say, count, note};
use super::trouble::name;
use super::{line, past};
use graceful_client::{
    ChangeKind, Client, ClientError, Incoming, Position, PushError, PushReceipt,
};
use graceful_protocol::DeviceKey;

/// Where changes go.
pub(super) enum Sink {
    Screen(Say),
    Copy(Copy),
}

/// What was taken, and is still to be answered before it is said to be applied.
#[derive(Debug, Default)]
pub(super) struct Taken {
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
pub(super) fn take(batch: &[Incoming], log: &mut Log, sink: &mut Sink) -> anyhow::Result<Taken> {
    let form = sink.form();
    let (mut taken, mut lines) = (Taken::default(), Vec::new());
    for incoming in batch {
        match incoming {
            Incoming::Change(received) if received.kind == ChangeKind::Snapshot => {
                match past::lines(received) {
                    Some(past) => {
                        taken.changes +=
                            take_past(past, &received.position, form, log, &mut lines)?;
                    }
                    None => taken.take_one(incoming, form, &mut lines),
                }
            }
            Incoming::Change(received) => {
                let Position {
                    sender,
                    push_number,
                    ..
                } = received.position;
                // What was for this device alone is not to be told to others.
                if !received.addressed {
                    log.add(sender, push_number, &line::json(incoming));
                }
                if !log.has_brought(&sender, push_number) {
                    taken.take_one(incoming, form, &mut lines);
                }
            }
            Incoming::Gap(gap) => {
                note(&line::text(incoming, usize::MAX));
                taken.lacking.insert(gap.whom_to_ask());
                taken.take_one(incoming, form, &mut lines);
            }
            Incoming::SnapshotWanted { device, .. } => {
                taken.wanted.push(*device);
                lines.extend(form.json(|| line::json(incoming)));
            }
        }
    }
    log.sync()?;
    sink.take(&lines)?;
    Ok(taken)
}

/// What a snapshot brought that was not here. How many changes.
fn take_past(
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
            lines.push(line::snapshot_end(snapshot, changes));
        }
        Form::Text { columns } => {
            let entries = brought
                .lines
                .iter()
                .filter_map(|line| line::Entry::read(line));
            lines.extend(entries.map(|(_, entry)| entry.text(columns)));
        }
    }
    Ok(changes)
}

impl Taken {
    fn take_one(&mut self, incoming: &Incoming, form: Form, lines: &mut Vec<String>) {
        self.changes += 1;
        match (form, incoming) {
            (Form::Json, _) => lines.push(line::json(incoming)),
            (Form::Text { columns }, Incoming::Change(_)) => {
                lines.push(line::text(incoming, columns))
            }
            (Form::Text { .. }, _) => {}
        }
    }

    /// Gives those that asked what this device has, and asks for what it lacks itself.
    pub(super) async fn answer(&self, client: &Client, log: &Log) -> anyhow::Result<()> {
        for device in &self.wanted {
            match past::send(client, log, *device).await {
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
        Err(ClientError::Push(PushError::Addressee)) => client.request_snapshot(None).await,
        asked => asked,
    }
}

/// The device that asked was removed since.
fn is_gone(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(ClientError::Push(PushError::Addressee))
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
            Self::Screen(Say { json: false }) => {
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
            Self::Copy(copy) => copy.append(lines)?,
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
