//! From a folder to an open device, and to its orderly end.

use std::path::Path;
use std::time::Duration;

use anyhow::{anyhow, bail};

use super::output::note;
use crate::signals::{Interrupted, stop_requested};
use graceful_client::{Client, ClientError, ConnectOptions, OpenOptions, Position, State, Status};

/// Longer than dialling takes: after that, something is wrong that has no name.
const CONNECT_WAIT: Duration = Duration::from_secs(30);

/// Opens a device.
pub(super) async fn open(folder: &Path, applied: Option<Position>) -> Result<Client, ClientError> {
    // Whoever made this profile was asked about plain connections then.
    let connect = ConnectOptions { allow_plain: true };
    Client::open(OpenOptions {
        applied,
        connect,
        ..OpenOptions::new(folder)
    })
    .await
}

/// A first no may be followed at once by a second attempt, whose answer counts.
const SECOND_THOUGHT: Duration = Duration::from_millis(500);

/// Runs `work` until it is done or the person stops it; in either case the device is closed.
pub(super) async fn with<T>(
    client: Client,
    work: impl AsyncFnOnce(&Client) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let done = tokio::select! {
        done = work(&client) => done,
        () = stop_requested() => Err(Interrupted.into()),
    };
    let closed = client.close().await;
    let done = done?;
    closed?;
    Ok(done)
}

/// Waits for the relay to greet a device that was made just now, then tells how it stands. The account is
/// safe in the folder already: without the relay, it is only not greeted yet.
pub(super) async fn introduce(
    client: Client,
    made: &str,
    tell: impl FnOnce(&Status),
) -> anyhow::Result<()> {
    with(client, async |client| {
        if let Err(error) = connected(client).await {
            note(&format!("{made}, but: {error:#}"));
        }
        tell(&client.status());
        Ok(())
    })
    .await
}

/// Waits for a first answer of the relay, whatever it is.
pub(super) async fn connected(client: &Client) -> anyhow::Result<()> {
    let status = settled(client, CONNECT_WAIT).await;
    match (&status.state, &status.last_error) {
        (State::Syncing { .. } | State::UpToDate, _) => Ok(()),
        (State::Refused { code, text }, _) => Err(ClientError::Refused {
            code: *code,
            text: text.clone(),
        }
        .into()),
        (_, Some(trouble)) => match status.refusal {
            Some(code) => Err(ClientError::Refused {
                code,
                text: trouble.clone(),
            }
            .into()),
            None => Err(unreachable(&status.relay, trouble)),
        },
        _ => bail!(
            "the relay {} does not answer; try again later",
            status.relay
        ),
    }
}

/// How things stand when the relay has answered or cannot be reached, or when time is up.
pub(super) async fn settled(client: &Client, wait: Duration) -> Status {
    let mut status = client.watch();
    let settled =
        |status: &Status| is_live(status) || is_refused(status) || status.last_error.is_some();
    let _ = tokio::time::timeout(wait, status.wait_for(settled)).await;
    let decided = |status: &Status| is_live(status) || is_refused(status);
    let _ = tokio::time::timeout(SECOND_THOUGHT, status.wait_for(decided)).await;
    client.status()
}

pub(super) fn is_live(status: &Status) -> bool {
    matches!(status.state, State::Syncing { .. } | State::UpToDate)
}

pub(super) fn is_refused(status: &Status) -> bool {
    matches!(status.state, State::Refused { .. })
}

pub(super) fn unreachable(relay: &str, trouble: &str) -> anyhow::Error {
    anyhow!(
        "cannot reach the relay {relay}: {trouble}; see that it runs and that the address is right"
    )
}

/// With what to do added, where the library cannot know it.
pub(super) fn advise(error: ClientError) -> anyhow::Error {
    use graceful_protocol::Code;
    match error {
        ClientError::Unreachable { relay, what } => unreachable(&relay, &what),
        ClientError::Refused {
            code: Code::InviteRequired,
            text,
        } => {
            anyhow!("the relay refused: {text} (give it with --invite)")
        }
        ClientError::Refused {
            code: Code::RendezvousNotFound,
            ..
        } => anyhow!(
            "this pairing link is used up or too old; make a new one on the other device: \
             graceful-relay client pair"
        ),
        error => error.into(),
    }
}
