//! Reports events and connection errors while a command waits.

use tokio::sync::broadcast::error::RecvError;

use super::devices::device_name;
use super::session::is_refused;
use crate::sanitize::sanitize;
use graceful_client::{Client, Event};
use graceful_engine::engine::RelayMisbehavior;
use graceful_protocol::DeviceKey;

/// Reports each new error once until the client is closed, then never resolves.
pub(super) async fn report_events(client: &Client, advice: &str, mut report: impl FnMut(&str)) {
    let (mut events, mut status) = (client.events(), client.watch());
    let mut reported: Option<String> = None;
    loop {
        let now = status.borrow_and_update().clone();
        match now.last_error {
            Some(error) if !is_refused(&client.status()) => {
                if reported.as_ref() != Some(&error) {
                    report(&format!(
                        "cannot reach relay {}: {error}; {advice}",
                        now.relay
                    ));
                }
                reported = Some(error);
            }
            None if reported.take().is_some() => report("reconnected"),
            _ => {}
        }
        tokio::select! {
            changed = status.changed() => if changed.is_err() {
                return std::future::pending().await;
            },
            event = events.recv() => match event {
                Ok(event) => if let Some(message) = message(client, &event) {
                    report(&message);
                },
                Err(RecvError::Lagged(missed)) => report(&format!("{missed} events were skipped")),
                Err(RecvError::Closed) => return std::future::pending().await,
            },
        }
    }
}

/// Describes an event, or returns `None` if other output covers it.
fn message(client: &Client, event: &Event) -> Option<String> {
    let name = |device: &DeviceKey| device_name(client, device);
    Some(match event {
        Event::PushRefused {
            push_number,
            message,
            ..
        } => {
            format!("relay rejected change {push_number}: {message}; retrying")
        }
        Event::ChangeDropped {
            push_number,
            transaction_id,
            bytes,
            bytes_max,
        } => {
            format!(
                "DROPPED: change {push_number} ({}) of {bytes} bytes exceeds the relay's \
                 new limit of {bytes_max}; later changes are sent",
                sanitize(transaction_id)
            )
        }
        Event::PushedAgain { from, through } => {
            format!("the relay lost the changes {from} to {through}; sending them again")
        }
        Event::LostPushes { from, through } => {
            format!(
                "LOST: the relay lost the changes {from} to {through}, which this device \
                 no longer has"
            )
        }
        Event::Renumbered { first } => {
            format!("this profile is an older copy; queued changes continue as change {first}")
        }
        Event::KeyMissing(key_epoch) => {
            format!(
                "this device lacks the secret of key epoch {key_epoch} and cannot push; \
                 pair it again"
            )
        }
        Event::UndecryptableEnvelope {
            seq,
            sender,
            reason,
        } => {
            format!(
                "UNDECRYPTABLE: skipped seq {seq} from {}: {reason}",
                name(sender)
            )
        }
        Event::MisbehaviorDetected(RelayMisbehavior::Withheld {
            sender,
            push_number,
        }) => format!(
            "MISBEHAVIOR: the relay withheld change {push_number} from {}, which a later \
             change names; do not trust this relay",
            name(sender)
        ),
        Event::MisbehaviorDetected(misbehavior) => {
            format!("MISBEHAVIOR: {misbehavior}; do not trust this relay")
        }
        Event::RelayRestored => "the relay was restored from a backup".to_owned(),
        Event::Added(device) => format!("{} joined the account", name(device)),
        Event::Removed(device) => format!("{} was removed from the account", name(device)),
        Event::MembershipRefused { message, .. } => {
            format!("relay rejected the membership change: {message}")
        }
        _ => return None,
    })
}
