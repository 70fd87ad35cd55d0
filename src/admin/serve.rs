//! The relay's end: one operator at a time, one line in, one line out.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::message::{LINE_BYTES_MAX, PATIENCE};
use super::{AdminError, Answer, Question, SOCKET, Served};

/// Its owner alone may connect.
const MODE: u32 = 0o600;

/// After an error that the next attempt would only repeat.
const PAUSE: Duration = Duration::from_millis(500);

/// The bound socket; its file is gone when this is.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Binds it in the data folder. A file that a crash left behind is replaced.
    ///
    /// # Errors
    /// [`AdminError::AlreadyRunning`] where a relay answers there.
    pub async fn bind(folder: &Path) -> Result<Self, AdminError> {
        let path = folder.join(SOCKET);
        match UnixStream::connect(&path).await {
            Ok(_) => return Err(AdminError::AlreadyRunning(folder.to_path_buf())),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(&path).map_err(|error| AdminError::new(folder, error))?;
            }
            // Anything else is for bind to say.
            Err(_) => {}
        }
        let listener = UnixListener::bind(&path).map_err(|error| AdminError::new(folder, error))?;
        std::fs::set_permissions(&path, Permissions::from_mode(MODE))
            .map_err(|error| AdminError::new(folder, error))?;
        Ok(Self { listener, path })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // What stays behind is replaced at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Answers until cancelled. An operator who asks for a drain cancels.
pub async fn serve(socket: Socket, served: impl Into<Served>, cancel: CancellationToken) {
    let served = served.into();
    tokio::select! {
        () = cancel.cancelled() => {}
        () = answer_all(&socket.listener, &served, &cancel) => {}
    }
}

async fn answer_all(listener: &UnixListener, served: &Served, cancel: &CancellationToken) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let answered = tokio::time::timeout(PATIENCE, answer_one(stream, served, cancel)).await;
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

async fn answer_one(mut stream: UnixStream, served: &Served, cancel: &CancellationToken) -> io::Result<()> {
    let mut line = String::new();
    let (reading, mut writing) = stream.split();
    BufReader::new(reading.take(LINE_BYTES_MAX)).read_line(&mut line).await?;
    let answer = match serde_json::from_str(&line) {
        Ok(question) => answer(question, served).await,
        Err(error) => Answer::Error(format!("this relay does not understand the question: {error}")),
    };
    let draining = answer == Answer::Draining;
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    let written = writing.write_all(&line).await;
    if draining {
        cancel.cancel();
    }
    written
}

async fn answer(question: Question, served: &Served) -> Answer {
    match question {
        Question::Invite { lifetime_s } => match served.relay.invite(Duration::from_secs(lifetime_s)).await {
            Ok(invite) => Answer::Invite(invite),
            Err(error) => Answer::Error(error.to_string()),
        },
        Question::Inspect { stretch } => match served.relay.inspect(stretch).await {
            Ok(part) => Answer::Inspect { version: env!("CARGO_PKG_VERSION").to_owned(), part },
            Err(error) => Answer::Error(error.to_string()),
        },
        Question::Status {} => served.status().await.map_or_else(Answer::Error, Answer::Status),
        Question::Accounts { page } => served.roll(page).await,
        Question::Account { letters } => served.account(letters).await,
        Question::SetQuota { account, quota } => served.set_quota(&account, quota).await,
        Question::Delete { account } => served.evict(&account).await,
        Question::Note {} => served.note().await,
        Question::Reload {} => served.reload().map_or_else(Answer::Error, Answer::Reloaded),
        Question::Drain {} => Answer::Draining,
    }
}
