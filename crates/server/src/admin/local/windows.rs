//! A named pipe, whose name is derived from the data directory. By default only administrators, the
//! service account and the user who started the relay may write to it, and nobody from another
//! machine.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tokio::net::windows::named_pipe::{
    ClientOptions, NamedPipeClient, NamedPipeServer, ServerOptions,
};

use super::AdminError;

/// All instances of the pipe are busy (winerror.h: `ERROR_PIPE_BUSY`).
const BUSY: i32 = 231;

/// Attempts to connect to a busy pipe.
const ATTEMPTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);

/// An accepted connection.
pub(in crate::admin) type Incoming = NamedPipeServer;

/// Returns the name of the pipe.
pub(in crate::admin) fn place(folder: &Path) -> PathBuf {
    let folder = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    // File names ignore case.
    let name = folder.to_string_lossy().to_lowercase();
    let hash = HEXLOWER.encode(&Sha256::digest(name)[..16]);
    format!(r"\\.\pipe\graceful-relay-{hash}").into()
}

pub(in crate::admin) async fn connect(folder: &Path) -> io::Result<NamedPipeClient> {
    let place = place(folder);
    for _ in 0..ATTEMPTS {
        match ClientOptions::new().open(&place) {
            Err(error) if error.raw_os_error() == Some(BUSY) => tokio::time::sleep(PAUSE).await,
            opened => return opened,
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// The pipe, with an instance that waits for the next connection.
#[derive(Debug)]
pub struct Socket {
    place: PathBuf,
    waiting: NamedPipeServer,
}

impl Socket {
    /// Creates the pipe for the data directory.
    ///
    /// # Errors
    /// [`AdminError::AlreadyRunning`] if a relay has it.
    pub async fn bind(folder: &Path) -> Result<Self, AdminError> {
        let place = place(folder);
        let opened = ServerOptions::new()
            .first_pipe_instance(true)
            .create(&place);
        let waiting = opened.map_err(|error| match error.kind() {
            // The error for a second first instance.
            io::ErrorKind::PermissionDenied => AdminError::AlreadyRunning(folder.to_path_buf()),
            _ => AdminError::new(folder, error),
        })?;
        Ok(Self { place, waiting })
    }

    /// Accepts the next connection.
    pub(in crate::admin) async fn accept(&mut self) -> io::Result<Incoming> {
        self.waiting.connect().await?;
        let next = ServerOptions::new().create(&self.place)?;
        Ok(std::mem::replace(&mut self.waiting, next))
    }
}
