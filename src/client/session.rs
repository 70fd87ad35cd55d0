//! Opening, running and closing a client.

use std::path::Path;
use std::time::Duration;

use anyhow::{anyhow, bail};

use super::output::note;
use crate::signals::{Interrupted, stop_requested};
use graceful_client::{Client, ClientError, ConnectOptions, OpenOptions, Position, State, Status};

/// Longest wait for a first answer; longer than dialling takes.
const CONNECT_WAIT: Duration = Duration::from_secs(30);

/// Opens a device.
pub(super) async fn open(
    profile_dir: &Path,
    applied: Option<Position>,
) -> Result<Client, ClientError> {
    // Plain connections were confirmed when the profile was created.
    let connect = ConnectOptions { allow_plain: true };
    Client::open(OpenOptions {
        applied,
        connect,
        ..OpenOptions::new(profile_dir)
    })
    .await
}

/// A first refusal may be followed at once by a second attempt, whose answer counts.
const RETRY_WAIT: Duration = Duration::from_millis(500);

/// Runs `work` until it completes or is interrupted, then closes the client.
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

/// Waits for the first connection of a new device, then prints its status. The account is already
/// safe on disk without it.
pub(super) async fn report_first_connection(
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

/// Waits for the relay's first answer.
pub(super) async fn connected(client: &Client) -> anyhow::Result<()> {
    let status = settled(client, CONNECT_WAIT).await;
    match (&status.state, &status.last_error) {
        (State::Syncing { .. } | State::UpToDate, _) => Ok(()),
        (State::Refused { code, message }, _) => Err(ClientError::Refused {
            code: *code,
            message: message.clone(),
        }
        .into()),
        (_, Some(error)) => match status.refusal {
            Some(code) => Err(ClientError::Refused {
                code,
                message: error.clone(),
            }
            .into()),
            None => Err(unreachable(&status.relay, error)),
        },
        _ => bail!("relay {} does not answer; retry later", status.relay),
    }
}

/// Returns the status once the relay has answered, is unreachable, or `wait` is over.
pub(super) async fn settled(client: &Client, wait: Duration) -> Status {
    let mut status = client.watch();
    let settled =
        |status: &Status| is_live(status) || is_refused(status) || status.last_error.is_some();
    let _ = tokio::time::timeout(wait, status.wait_for(settled)).await;
    let decided = |status: &Status| is_live(status) || is_refused(status);
    let _ = tokio::time::timeout(RETRY_WAIT, status.wait_for(decided)).await;
    client.status()
}

pub(super) fn is_live(status: &Status) -> bool {
    matches!(status.state, State::Syncing { .. } | State::UpToDate)
}

pub(super) fn is_refused(status: &Status) -> bool {
    matches!(status.state, State::Refused { .. })
}

pub(super) fn unreachable(relay: &str, error: &str) -> anyhow::Error {
    anyhow!("cannot reach relay {relay}: {error}; check that it runs and that the address is right")
}

/// Adds the next step where the library cannot know it.
pub(super) fn explain_refusal(error: ClientError) -> anyhow::Error {
    use graceful_protocol::Code;
    match error {
        ClientError::Unreachable { relay, what } => unreachable(&relay, &what),
        ClientError::Refused {
            code: Code::InviteRequired,
            message,
        } => {
            anyhow!("relay refused: {message}; use --invite")
        }
        ClientError::Refused {
            code: Code::RendezvousNotFound,
            ..
        } => anyhow!(
            "pairing link was used or expired; create a new one on the other device: \
             graceful-relay client pair"
        ),
        error => error.into(),
    }
}

/// Longest wait for the relay's answer.
const STATUS_WAIT: Duration = Duration::from_secs(3);
/// Longest wait for the relay to confirm that there is nothing more.
const UP_TO_DATE_WAIT: Duration = Duration::from_millis(500);

/// Returns the status with the relay's answer if it comes soon. If another program has the profile
/// open, returns its last recorded status.
pub(super) async fn current(profile_dir: &Path) -> anyhow::Result<Status> {
    match open(profile_dir, None).await {
        Ok(client) => with(client, async |client| Ok(look(client).await)).await,
        Err(ClientError::InUse(_)) => {
            let mut status = Client::inspect(profile_dir)?;
            status.last_error = Some("another process has this profile open".to_owned());
            Ok(status)
        }
        Err(error) => Err(error.into()),
    }
}

async fn look(client: &Client) -> Status {
    if is_live(&settled(client, STATUS_WAIT).await) {
        let _ = tokio::time::timeout(UP_TO_DATE_WAIT, client.up_to_date()).await;
    }
    client.status()
}
