//! A named pipe. Its name is made of the folder's, so that a relay is found by its folder here, too. By default
//! the system lets only administrators, the service's own account and whoever started the relay write to it,
//! and nobody from another machine.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tokio::net::windows::named_pipe::{
    ClientOptions, NamedPipeClient, NamedPipeServer, ServerOptions,
};

use super::AdminError;

/// What the system says when each end of the pipe is in use (winerror.h: `ERROR_PIPE_BUSY`).
const BUSY: i32 = 231;

/// How often it is tried again then.
const ATTEMPTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);

/// A question on its way in.
pub(in crate::admin) type Incoming = NamedPipeServer;

/// Where the relay on this folder is reached.
pub(in crate::admin) fn place(folder: &Path) -> PathBuf {
    let folder = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    // Names of files are the same in capitals and without.
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

/// The pipe, with an end that waits for the next one who asks.
#[derive(Debug)]
pub struct Socket {
    place: PathBuf,
    waiting: NamedPipeServer,
}

impl Socket {
    /// Opens it for the data folder.
    ///
    /// # Errors
    /// [`AdminError::AlreadyRunning`] where a relay has it.
    pub async fn bind(folder: &Path) -> Result<Self, AdminError> {
        let place = place(folder);
        let opened = ServerOptions::new()
            .first_pipe_instance(true)
            .create(&place);
        let waiting = opened.map_err(|error| match error.kind() {
            // That is how the system says that there is a first one.
            io::ErrorKind::PermissionDenied => AdminError::AlreadyRunning(folder.to_path_buf()),
            _ => AdminError::new(folder, error),
        })?;
        Ok(Self { place, waiting })
    }

    /// The next one who asks.
    pub(in crate::admin) async fn accept(&mut self) -> io::Result<Incoming> {
        self.waiting.connect().await?;
        let next = ServerOptions::new().create(&self.place)?;
        Ok(std::mem::replace(&mut self.waiting, next))
    }
}
