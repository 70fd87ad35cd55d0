//! The folder a relay keeps its data in when nobody chose one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What of its surroundings decides where a relay keeps its data and finds its secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// `STATE_DIRECTORY`: a service manager made a folder for it.
    pub state_directory: Option<OsString>,
    /// `XDG_DATA_HOME`.
    pub data_home: Option<OsString>,
    /// `CREDENTIALS_DIRECTORY`: a service manager hands secrets over there (systemd.exec(5)).
    pub credentials: Option<OsString>,
    /// The user's home.
    pub home: Option<OsString>,
    /// Whether it may write to the system's folders.
    pub is_root: bool,
}

/// Where the system keeps the state of its services.
const SYSTEM_FOLDER: &str = "/var/lib/graceful-relay";
/// Its name below folders it shares with others.
const NAME: &str = "graceful-relay";

impl Surroundings {
    /// Those of this process.
    pub fn of_this_process() -> Self {
        Self {
            state_directory: std::env::var_os("STATE_DIRECTORY"),
            data_home: std::env::var_os("XDG_DATA_HOME"),
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY"),
            home: std::env::var_os("HOME").or_else(|| std::env::var_os("LOCALAPPDATA")),
            is_root: is_root(),
        }
    }

    /// The folder, or `None` where not even a home is known.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        if let Some(given) = &self.state_directory {
            // Several are separated by colons; the first is the relay's own.
            let first = given.to_string_lossy().split(':').next().map(PathBuf::from);
            return first.filter(|folder| folder.is_absolute());
        }
        if self.is_root {
            return Some(PathBuf::from(SYSTEM_FOLDER));
        }
        let absolute = |path: &OsString| Path::new(path).is_absolute().then(|| PathBuf::from(path));
        let data_home = self.data_home.as_ref().and_then(absolute);
        let home = || self.home.as_ref().and_then(absolute).map(|home| home.join(".local/share"));
        data_home.or_else(home).map(|folder| folder.join(NAME))
    }
}

/// Whether the process runs as root. Linux says so without a call that needs `unsafe`; where it
/// does not, the owner of the home tells.
#[cfg(unix)]
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    let of_process = std::fs::metadata("/proc/self").map(|process| process.uid());
    let owner = of_process.or_else(|_| {
        let home = std::env::var_os("HOME").unwrap_or_default();
        std::fs::metadata(home).map(|home| home.uid())
    });
    owner.is_ok_and(|owner| owner == 0)
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(surroundings: &Surroundings) -> String {
        surroundings.folder().expect("a folder").display().to_string()
    }

    #[test]
    fn the_folder_follows_from_who_runs_it() {
        let mut here = Surroundings { home: Some("/home/ann".into()), ..Surroundings::default() };
        assert_eq!(folder(&here), "/home/ann/.local/share/graceful-relay");
        here.data_home = Some("/data".into());
        assert_eq!(folder(&here), "/data/graceful-relay");
        here.is_root = true;
        assert_eq!(folder(&here), "/var/lib/graceful-relay");
        here.state_directory = Some("/var/lib/private/relay:/var/lib/other".into());
        assert_eq!(folder(&here), "/var/lib/private/relay");
    }

    #[test]
    fn a_relative_home_is_no_home() {
        let here = Surroundings { home: Some("ann".into()), ..Surroundings::default() };
        assert_eq!(here.folder(), None);
    }
}
