//! `serve --daemon`: detaches from the terminal, for systems without a service manager.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use daemonix::Daemonize;

use graceful_server::config::{Config, LogOutput};

#[derive(Debug, Args)]
pub(super) struct Daemon {
    /// Detach and run in the background
    #[arg(long)]
    daemon: bool,
    /// With --daemon: write and lock a PID file
    #[arg(long, value_name = "FILE", requires = "daemon")]
    pid_file: Option<PathBuf>,
}

impl Daemon {
    /// Whether `--daemon` is given.
    pub(super) const fn is_wanted(&self) -> bool {
        self.daemon
    }

    /// Continues as a detached process; the parent exits with 0. Must run before any thread starts.
    ///
    /// # Errors
    /// When logs would be lost, or detaching fails.
    pub(super) fn daemonize(&self, config: &Config) -> anyhow::Result<()> {
        if matches!(config.log.output, LogOutput::Stderr | LogOutput::Stdout) {
            bail!("--daemon would lose the log; set `log.output` to \"file\" or \"syslog\"");
        }
        let here = std::env::current_dir().context("the current directory does not exist")?;
        let mut daemon = Daemonize::new().working_directory(here).umask(0o077);
        if let Some(file) = &self.pid_file {
            daemon = daemon.pid_file(file);
        }
        daemon.start().context("cannot detach from the terminal")?;
        Ok(())
    }
}
