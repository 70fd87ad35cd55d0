//! A Unix socket in the data folder, which only the folder's owner may connect to.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use super::AdminError;

/// Its owner alone may connect.
const MODE: u32 = 0o600;

/// A question on its way in.
pub(in crate::admin) type Incoming = UnixStream;

/// Where the relay on this folder is reached.
pub(in crate::admin) fn place(folder: &Path) -> PathBuf {
    folder.join("admin.sock")
}

pub(in crate::admin) async fn connect(folder: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(place(folder)).await
}

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
        let path = place(folder);
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

    /// The next one who asks.
    pub(in crate::admin) async fn accept(&mut self) -> io::Result<Incoming> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // What stays behind is replaced at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}
