//! The relay's end: one operator at a time, one line in, one line out.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::local::{Incoming, Socket};
use super::message::{LINE_BYTES_MAX, PATIENCE};
use super::{Answer, Question, Served};

/// After an error that the next attempt would only repeat.
const PAUSE: Duration = Duration::from_millis(500);

/// Answers until cancelled. An operator who asks for a drain cancels.
pub async fn serve(mut socket: Socket, served: impl Into<Served>, cancel: CancellationToken) {
    let served = served.into();
    tokio::select! {
        () = cancel.cancelled() => {}
        () = answer_all(&mut socket, &served, &cancel) => {}
    }
}

async fn answer_all(socket: &mut Socket, served: &Served, cancel: &CancellationToken) {
    let backups = Arc::new(Semaphore::new(1));
    loop {
        match socket.accept().await {
            Ok(stream) => {
                let answered = answer_one(stream, served, cancel, &backups);
                let answered = tokio::time::timeout(PATIENCE, answered).await;
                if !matches!(answered, Ok(Ok(()))) {
                    tracing::debug!("a question over the admin socket was not finished");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the admin socket takes no questions for now");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn answer_one(
    mut stream: Incoming,
    served: &Served,
    cancel: &CancellationToken,
    backups: &Arc<Semaphore>,
) -> io::Result<()> {
    let mut line = String::new();
    BufReader::new((&mut stream).take(LINE_BYTES_MAX))
        .read_line(&mut line)
        .await?;
    let answer = match serde_json::from_str(&line) {
        Ok(Question::Backup {}) => match backups.clone().try_acquire_owned() {
            Ok(turn) => {
                let (relay, cancel) = (served.relay.clone(), cancel.clone());
                // Others are answered meanwhile.
                tokio::spawn(async move {
                    super::stream::send(stream, relay, cancel).await;
                    drop(turn);
                });
                return Ok(());
            }
            Err(_) => {
                Answer::Error("a backup is being made already; wait until it is done".to_owned())
            }
        },
        Ok(question) => answer(question, served).await,
        Err(error) => Answer::Error(format!(
            "this relay does not understand the question: {error}"
        )),
    };
    let draining = answer == Answer::Draining;
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    let written = stream.write_all(&line).await;
    if draining {
        cancel.cancel();
    }
    written
}

async fn answer(question: Question, served: &Served) -> Answer {
    match question {
        Question::Invite { lifetime_s } => {
            match served.relay.invite(Duration::from_secs(lifetime_s)).await {
                Ok(invite) => Answer::Invite(invite),
                Err(error) => Answer::Error(error.to_string()),
            }
        }
        Question::Inspect { stretch } => match served.relay.inspect(stretch).await {
            Ok(part) => Answer::Inspect {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                part,
            },
            Err(error) => Answer::Error(error.to_string()),
        },
        Question::Status {} => served
            .status()
            .await
            .map_or_else(Answer::Error, Answer::Status),
        Question::Accounts { page } => served.roll(page).await,
        Question::Account { letters } => served.account(letters).await,
        Question::SetQuota { account, quota } => served.set_quota(&account, quota).await,
        Question::Delete { account } => served.evict(&account).await,
        Question::Note {} => served.note().await,
        Question::NoteBackup { backup } => served.note_backup(backup).await,
        Question::Backup {} => Answer::Error("a backup needs the whole line".to_owned()),
        Question::Reload {} => served.reload().map_or_else(Answer::Error, Answer::Reloaded),
        Question::Drain {} => Answer::Draining,
    }
}
