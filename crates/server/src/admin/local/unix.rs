//! A Unix socket in the data directory, which only the owner may connect to.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use super::AdminError;

/// Only the owner may connect.
const MODE: u32 = 0o600;

/// An accepted connection.
pub(in crate::admin) type Incoming = UnixStream;

/// Returns the path of the socket.
pub(in crate::admin) fn place(folder: &Path) -> PathBuf {
    folder.join("admin.sock")
}

pub(in crate::admin) async fn connect(folder: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(place(folder)).await
}

/// The bound socket. Its file is removed when dropped.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Binds the socket in the data directory. A stale file is replaced.
    ///
    /// # Errors
    /// [`AdminError::AlreadyRunning`] if a relay responds there.
    pub async fn bind(folder: &Path) -> Result<Self, AdminError> {
        let path = place(folder);
        match UnixStream::connect(&path).await {
            Ok(_) => return Err(AdminError::AlreadyRunning(folder.to_path_buf())),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(&path).map_err(|error| AdminError::new(folder, error))?;
            }
            // bind reports anything else.
            Err(_) => {}
        }
        let listener = UnixListener::bind(&path).map_err(|error| AdminError::new(folder, error))?;
        std::fs::set_permissions(&path, Permissions::from_mode(MODE))
            .map_err(|error| AdminError::new(folder, error))?;
        Ok(Self { listener, path })
    }

    /// Accepts the next connection.
    pub(in crate::admin) async fn accept(&mut self) -> io::Result<Incoming> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A stale file is replaced at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}
