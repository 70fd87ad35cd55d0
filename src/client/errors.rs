//! Telling the person what goes wrong, while something else is waited for.

use tokio::sync::broadcast::error::RecvError;

use crate::sanitize::sanitize;
use graceful_client::{Client, Event};
use graceful_engine::engine::RelayMisbehavior;
use graceful_protocol::DeviceKey;

/// Says each new trouble once, until the client is closed; then it waits for ever.
pub(super) async fn tell(client: &Client, advice: &str, mut report: impl FnMut(&str)) {
    let (mut events, mut status) = (client.events(), client.watch());
    let mut told: Option<String> = None;
    loop {
        let now = status.borrow_and_update().clone();
        match now.last_error {
            Some(trouble) if !super::session::is_refused(&client.status()) => {
                if told.as_ref() != Some(&trouble) {
                    report(&format!(
                        "cannot reach the relay {}: {trouble}; {advice}",
                        now.relay
                    ));
                }
                told = Some(trouble);
            }
            None if told.take().is_some() => report("connected again"),
            _ => {}
        }
        tokio::select! {
            changed = status.changed() => if changed.is_err() {
                return std::future::pending().await;
            },
            event = events.recv() => match event {
                Ok(event) => if let Some(text) = text(client, &event) {
                    report(&text);
                },
                Err(RecvError::Lagged(missed)) => report(&format!("{missed} more things happened")),
                Err(RecvError::Closed) => return std::future::pending().await,
            },
        }
    }
}

/// What an event means to a person; `None` where other words say it already.
fn text(client: &Client, event: &Event) -> Option<String> {
    let name = |device: &DeviceKey| name(client, device);
    Some(match event {
        Event::PushRefused {
            push_number, text, ..
        } => {
            format!("the relay does not take change {push_number} now: {text}; it is tried again")
        }
        Event::ChangeDropped {
            push_number,
            transaction_id,
            bytes,
            bytes_max,
        } => {
            format!(
                "DROPPED: change {push_number} ({}) has {bytes} bytes, and the relay now takes {bytes_max} at the \
                 most; it is not sent, what follows it is",
                sanitize(transaction_id)
            )
        }
        Event::PushedAgain { from, through } => {
            format!("the relay lost the changes {from} to {through}, which are sent again")
        }
        Event::LostPushes { from, through } => {
            format!(
                "LOST: the relay lost the changes {from} to {through}, and this device no longer has them"
            )
        }
        Event::Renumbered { first } => {
            format!("this folder is an older copy; what waits goes on as change {first}")
        }
        Event::KeyMissing(key_epoch) => {
            format!(
                "this device lacks the secret of key epoch {key_epoch} and cannot push; pair it anew"
            )
        }
        Event::UndecryptableEnvelope {
            seq,
            sender,
            reason,
        } => {
            format!(
                "UNREADABLE: number {seq} from {} was passed over: {reason}",
                name(sender)
            )
        }
        Event::MisbehaviorDetected(RelayMisbehavior::Withheld {
            sender,
            push_number,
        }) => format!(
            "DISTRUST: the relay withheld change {push_number} from {}, which a later one says was sent; \
             the relay may not be honest",
            name(sender)
        ),
        Event::MisbehaviorDetected(misbehavior) => {
            format!("DISTRUST: {misbehavior}; the relay may not be honest")
        }
        Event::RelayRestored => {
            "the relay tells a new history: it was restored from a backup".to_owned()
        }
        Event::Added(device) => format!("{} joined the account", name(device)),
        Event::Removed(device) => format!("{} was removed from the account", name(device)),
        Event::MembershipRefused { text, .. } => {
            format!("the relay did not change the devices: {text}")
        }
        _ => return None,
    })
}

/// What a device is called, or the beginning of its key.
pub(super) fn name(client: &Client, device: &DeviceKey) -> String {
    let devices = client.devices();
    let known = devices
        .iter()
        .find(|known| known.key == *device)
        .and_then(|known| known.name.as_deref());
    known.map_or_else(|| short(device), sanitize)
}

/// Enough of a key to tell a person's devices apart.
pub(super) fn short(device: &DeviceKey) -> String {
    device.to_string().chars().take(8).collect()
}
