//! The folder a relay keeps its data in, and the file it reads its settings from, when nobody chose them.

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
    /// Where the service of this machine keeps its data, for who may go there.
    pub service: Option<PathBuf>,
}

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
            service: service(),
        }
    }

    /// The folder, or `None` where not even a home is known.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        if let Some(given) = &self.state_directory {
            // Several are separated by colons; the first is the relay's own.
            let first = given.to_string_lossy().split(':').next().map(PathBuf::from);
            return first.filter(|folder| folder.is_absolute());
        }
        if let Some(service) = &self.service {
            return Some(service.clone());
        }
        let absolute = |path: &OsString| Path::new(path).is_absolute().then(|| PathBuf::from(path));
        let data_home = self.data_home.as_ref().and_then(absolute);
        let home = || {
            self.home
                .as_ref()
                .and_then(absolute)
                .map(|home| home.join(".local/share"))
        };
        data_home.or_else(home).map(|folder| folder.join(NAME))
    }
}

/// Root means the service that the system has.
#[cfg(unix)]
fn service() -> Option<PathBuf> {
    rustix::process::geteuid()
        .is_root()
        .then(|| PathBuf::from("/var/lib/graceful-relay"))
}

/// Where one is installed, it is meant.
#[cfg(windows)]
fn service() -> Option<PathBuf> {
    Some(program_data().join("data")).filter(|folder| folder.exists())
}

#[cfg(not(any(unix, windows)))]
fn service() -> Option<PathBuf> {
    None
}

/// The file of settings of the service of this machine.
pub fn settings_file() -> PathBuf {
    #[cfg(windows)]
    return program_data().join("config.toml");
    #[cfg(not(windows))]
    PathBuf::from("/etc/graceful-relay/config.toml")
}

/// The folder below ProgramData that settings and data of the service lie in.
#[cfg(windows)]
pub fn program_data() -> PathBuf {
    let all = std::env::var_os("ProgramData").unwrap_or_else(|| "C:\\ProgramData".into());
    PathBuf::from(all).join("Graceful Relay")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(surroundings: &Surroundings) -> String {
        surroundings
            .folder()
            .expect("a folder")
            .display()
            .to_string()
    }

    #[test]
    fn the_folder_follows_from_who_runs_it() {
        let mut here = Surroundings {
            home: Some("/home/ann".into()),
            ..Surroundings::default()
        };
        assert_eq!(folder(&here), "/home/ann/.local/share/graceful-relay");
        here.data_home = Some("/data".into());
        assert_eq!(folder(&here), "/data/graceful-relay");
        here.service = Some("/var/lib/graceful-relay".into());
        assert_eq!(folder(&here), "/var/lib/graceful-relay");
        here.state_directory = Some("/var/lib/private/relay:/var/lib/other".into());
        assert_eq!(folder(&here), "/var/lib/private/relay");
    }

    #[test]
    fn a_relative_home_is_no_home() {
        let here = Surroundings {
            home: Some("ann".into()),
            ..Surroundings::default()
        };
        assert_eq!(here.folder(), None);
    }
}
