//! A local relay to measure, without rate limits.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::sync::oneshot;

use super::process::Process;

/// Timeout of the start, which may recover a large store.
const READY_WAIT: Duration = Duration::from_secs(120);
/// Connections besides those of the load.
const CONNECTIONS_TO_SPARE: usize = 64;
/// Environment variables that would change the measurement.
const VARIABLE_PREFIX: &str = "GRACEFUL_RELAY_";

/// How to start the relay.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The program to start.
    pub program: PathBuf,
    /// Its data directory.
    pub data: PathBuf,
    /// With TLS and a self-signed certificate.
    pub tls: bool,
    /// Devices that will connect.
    pub connections: usize,
}

/// A running relay, killed on drop.
pub struct LocalRelay {
    child: Child,
    data: PathBuf,
    /// Its URL.
    pub url: String,
    /// Time from the start of the process until it listens.
    pub ready: Duration,
}

impl LocalRelay {
    /// Starts the relay, and waits until it listens.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start(setup: &Setup) -> anyhow::Result<Self> {
        // Beside the data directory, which is the relay's own.
        let config = setup.data.with_extension("toml");
        std::fs::write(&config, settings(setup))
            .context("cannot write the relay's configuration")?;
        let mut command = Command::new(&setup.program);
        command
            .args(["serve", "--json", "--config"])
            .arg(&config)
            .arg("--data-dir")
            .arg(&setup.data);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(VARIABLE_PREFIX) {
                command.env_remove(name);
            }
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        // Ctrl-C must reach the generator alone, which still has to delete its accounts.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let started = Instant::now();
        let mut child = command.spawn().context("cannot start a relay")?;
        let out = child.stdout.take();
        let mut relay = Self {
            child,
            data: setup.data.clone(),
            url: String::new(),
            ready: Duration::ZERO,
        };
        let (told, said) = oneshot::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = out.map(|out| BufReader::new(out).read_line(&mut line));
            let _ = told.send((line, started.elapsed(), read.is_some()));
        });
        let Ok(Ok((line, ready, true))) = tokio::time::timeout(READY_WAIT, said).await else {
            bail!("the relay did not start in time");
        };
        let said: serde_json::Value =
            serde_json::from_str(&line).context("the relay exited at its start")?;
        relay.url = said["url"]
            .as_str()
            .context("the relay printed no URL")?
            .to_owned();
        relay.ready = ready;
        Ok(relay)
    }

    /// The process, to measure its usage.
    pub fn process(&self) -> Process {
        Process::new(self.child.id()).on_disk_of(&self.data)
    }

    /// Kills the process and waits for its exit.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for LocalRelay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The default configuration without rate limits, since all devices connect from one address.
fn settings(setup: &Setup) -> String {
    // Half of them may be unauthenticated, and new accounts use the other half.
    let connections = 2 * (setup.connections + CONNECTIONS_TO_SPARE);
    let tls = if setup.tls { "self-signed" } else { "off" };
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n\
         [tls]\nmode = \"{tls}\"\n\
         [accounts]\nregistration = \"open\"\ndevices_max = 100\nquota = \"1 TiB\"\nenvelopes_max = 100000000\n\
         membership_entries_max = 4096\n\
         [storage]\nballast_size = \"0 B\"\n\
         [limits]\nconnections_max = {connections}\n\
         [rate_limits]\nunauthenticated_max = \"50%\"\n\
         per_ip_connections_max = {connections}\nper_ip_unauthenticated_max = {connections}\n\
         per_account_connections_max = {connections}\n\
         per_ip_connections = \"unlimited\"\nper_ip_new_accounts = \"unlimited\"\nnew_accounts = \"unlimited\"\n\
         per_ip_frames = \"unlimited\"\nper_ip_bandwidth = \"unlimited\"\n\
         per_account_frames = \"unlimited\"\nper_account_bandwidth = \"unlimited\"\n\
         [log]\nlevel = \"error\"\n",
    )
}

/// This program.
///
/// # Errors
/// If the system does not provide its path.
pub fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("cannot find this program's own file")
}

/// Bytes of all files in a directory, recursively.
pub fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => folder_bytes(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use graceful_server::config::{Flags, ProcessEnv, Sources, load};

    #[test]
    fn its_settings_are_good() {
        let folder = tempfile::tempdir().expect("a folder");
        for (tls, connections) in [(false, 1), (true, 20_000)] {
            let setup = Setup {
                program: PathBuf::new(),
                data: folder.path().to_owned(),
                tls,
                connections,
            };
            let file = folder.path().join("bench.toml");
            std::fs::write(&file, settings(&setup)).expect("written");
            let sources = Sources {
                file: Some(file),
                environment: Vec::new(),
                flags: Flags {
                    listen: None,
                    data_dir: Some(setup.data.clone()),
                },
                env: ProcessEnv::default(),
            };
            let config = load(&sources).unwrap_or_else(|error| panic!("{error}"));
            assert!(config.http_options().connections_max > connections);
            assert!(
                config
                    .relay_options()
                    .rate_limits
                    .create_account_connections_max
                    > connections as u64
            );
        }
    }
}
