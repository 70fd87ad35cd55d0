//! The server of the admin socket: one connection at a time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::local::{Incoming, Socket};
use super::message::{LINE_BYTES_MAX, TIMEOUT};
use super::{AdminRequest, AdminResponse, AdminService};

/// Backoff after an error that the next attempt would repeat.
const PAUSE: Duration = Duration::from_millis(500);

/// Serves until cancelled. A request to drain cancels.
pub async fn serve(
    mut socket: Socket,
    service: impl Into<AdminService>,
    cancel: CancellationToken,
) {
    let service = service.into();
    tokio::select! {
        () = cancel.cancelled() => {}
        () = answer_all(&mut socket, &service, &cancel) => {}
    }
}

async fn answer_all(socket: &mut Socket, service: &AdminService, cancel: &CancellationToken) {
    let backups = Arc::new(Semaphore::new(1));
    loop {
        match socket.accept().await {
            Ok(stream) => {
                let answered = answer_one(stream, service, cancel, &backups);
                let answered = tokio::time::timeout(TIMEOUT, answered).await;
                if !matches!(answered, Ok(Ok(()))) {
                    tracing::debug!("request on the admin socket not finished");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "accepting on the admin socket failed");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn answer_one(
    mut stream: Incoming,
    service: &AdminService,
    cancel: &CancellationToken,
    backups: &Arc<Semaphore>,
) -> io::Result<()> {
    let mut line = String::new();
    BufReader::new((&mut stream).take(LINE_BYTES_MAX))
        .read_line(&mut line)
        .await?;
    let answer = match serde_json::from_str(&line) {
        Ok(AdminRequest::Backup {}) => match backups.clone().try_acquire_owned() {
            Ok(turn) => {
                let (relay, cancel) = (service.relay.clone(), cancel.clone());
                // Other requests are served meanwhile.
                tokio::spawn(async move {
                    super::export::send(stream, relay, cancel).await;
                    drop(turn);
                });
                return Ok(());
            }
            Err(_) => AdminResponse::Error(
                "another backup is in progress; wait until it is done".to_owned(),
            ),
        },
        Ok(question) => answer(question, service).await,
        Err(error) => AdminResponse::Error(format!("unknown request: {error}")),
    };
    let draining = answer == AdminResponse::Draining;
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    let written = stream.write_all(&line).await;
    if draining {
        cancel.cancel();
    }
    written
}

async fn answer(question: AdminRequest, service: &AdminService) -> AdminResponse {
    match question {
        AdminRequest::Invite { lifetime_s } => {
            match service.relay.invite(Duration::from_secs(lifetime_s)).await {
                Ok(invite) => AdminResponse::Invite(invite),
                Err(error) => AdminResponse::Error(error.to_string()),
            }
        }
        AdminRequest::Inspect { range } => match service.relay.inspect(range).await {
            Ok(part) => AdminResponse::Inspect {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                part,
            },
            Err(error) => AdminResponse::Error(error.to_string()),
        },
        AdminRequest::Status {} => service
            .status()
            .await
            .map_or_else(AdminResponse::Error, AdminResponse::Status),
        AdminRequest::Accounts { page } => service.list_accounts(page).await,
        AdminRequest::Account { letters } => service.account(letters).await,
        AdminRequest::SetQuota { account, quota } => service.set_quota(&account, quota).await,
        AdminRequest::Delete { account } => service.delete_account(&account).await,
        AdminRequest::Note {} => service.note().await,
        AdminRequest::NoteBackup { backup } => service.record_backup(backup).await,
        AdminRequest::Backup {} => {
            AdminResponse::Error("a backup needs its own connection".to_owned())
        }
        AdminRequest::Reload {} => service
            .reload()
            .map_or_else(AdminResponse::Error, AdminResponse::Reloaded),
        AdminRequest::Drain {} => AdminResponse::Draining,
    }
}
