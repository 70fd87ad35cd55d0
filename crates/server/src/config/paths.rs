//! Default paths of the data directory and the configuration file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Environment of the process that decides default paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessEnv {
    /// `STATE_DIRECTORY`, from the service manager.
    pub state_directory: Option<OsString>,
    /// `XDG_DATA_HOME`.
    pub data_home: Option<OsString>,
    /// `CREDENTIALS_DIRECTORY`: secrets from the service manager (systemd.exec(5)).
    pub credentials: Option<OsString>,
    /// The user's home directory.
    pub home: Option<OsString>,
    /// The data directory of this machine's service, if the user may use it.
    pub service_data_dir: Option<PathBuf>,
}

/// Its name below shared directories.
const NAME: &str = "graceful-relay";

impl ProcessEnv {
    /// Reads the environment.
    pub fn read() -> Self {
        Self {
            state_directory: std::env::var_os("STATE_DIRECTORY"),
            data_home: std::env::var_os("XDG_DATA_HOME"),
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY"),
            home: std::env::var_os("HOME").or_else(|| std::env::var_os("LOCALAPPDATA")),
            service_data_dir: service_data_dir(),
        }
    }

    /// The default data directory, or `None` without a home directory.
    pub(super) fn data_dir(&self) -> Option<PathBuf> {
        if let Some(given) = &self.state_directory {
            // Several are separated by colons; the first is the relay's.
            let first = given.to_string_lossy().split(':').next().map(PathBuf::from);
            return first.filter(|path| path.is_absolute());
        }
        if let Some(service) = &self.service_data_dir {
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
        data_home.or_else(home).map(|path| path.join(NAME))
    }
}

/// Root uses the data of the system service.
#[cfg(unix)]
fn service_data_dir() -> Option<PathBuf> {
    rustix::process::geteuid()
        .is_root()
        .then(|| PathBuf::from("/var/lib/graceful-relay"))
}

/// The installed service's data, if there is one.
#[cfg(windows)]
fn service_data_dir() -> Option<PathBuf> {
    Some(program_data().join("data")).filter(|path| path.exists())
}

#[cfg(not(any(unix, windows)))]
fn service_data_dir() -> Option<PathBuf> {
    None
}

/// The configuration file of this machine's service.
pub fn config_file() -> PathBuf {
    #[cfg(windows)]
    return program_data().join("config.toml");
    #[cfg(not(windows))]
    PathBuf::from("/etc/graceful-relay/config.toml")
}

/// The service's directory below ProgramData.
#[cfg(windows)]
pub fn program_data() -> PathBuf {
    let all = std::env::var_os("ProgramData").unwrap_or_else(|| "C:\\ProgramData".into());
    PathBuf::from(all).join("Graceful Relay")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data_dir(env: &ProcessEnv) -> String {
        env.data_dir()
            .expect("a data directory")
            .display()
            .to_string()
    }

    #[test]
    fn data_dir_depends_on_user_and_service_manager() {
        let mut here = ProcessEnv {
            home: Some("/home/ann".into()),
            ..ProcessEnv::default()
        };
        assert_eq!(data_dir(&here), "/home/ann/.local/share/graceful-relay");
        here.data_home = Some("/data".into());
        assert_eq!(data_dir(&here), "/data/graceful-relay");
        here.service_data_dir = Some("/var/lib/graceful-relay".into());
        assert_eq!(data_dir(&here), "/var/lib/graceful-relay");
        here.state_directory = Some("/var/lib/private/relay:/var/lib/other".into());
        assert_eq!(data_dir(&here), "/var/lib/private/relay");
    }

    #[test]
    fn relative_home_is_ignored() {
        let here = ProcessEnv {
            home: Some("ann".into()),
            ..ProcessEnv::default()
        };
        assert_eq!(here.data_dir(), None);
    }
}
