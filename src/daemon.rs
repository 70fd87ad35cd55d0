//! `serve --daemon`: the relay leaves its terminal. For systems without a service manager; units and containers
//! run it in the foreground.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use daemonix::Daemonize;

use graceful_server::config::{Config, LogTo};

#[derive(Debug, Args)]
pub(super) struct Daemon {
    /// Leave the terminal and run in the background, where no service manager does it; `log.to` must be a
    /// place that is still there then
    #[arg(long)]
    daemon: bool,
    /// With --daemon: write the number of the process into this file, and hold it while the relay runs
    #[arg(long, value_name = "FILE", requires = "daemon")]
    pid_file: Option<PathBuf>,
}

impl Daemon {
    /// Whether that is wanted.
    pub(super) const fn is_wanted(&self) -> bool {
        self.daemon
    }

    /// Goes on as a process of its own, without the terminal; the one that was started ends well. Before
    /// there are any threads.
    ///
    /// # Errors
    /// What would only be found out when nobody sees it any more.
    pub(super) fn leave_terminal(&self, config: &Config) -> anyhow::Result<()> {
        if matches!(config.log.to, LogTo::Stderr | LogTo::Stdout) {
            bail!("with --daemon nobody would see the log; set `log.to` to \"file\" or \"syslog\"");
        }
        let here = std::env::current_dir().context("this folder is gone")?;
        let mut daemon = Daemonize::new().working_directory(here).umask(0o077);
        if let Some(file) = &self.pid_file {
            daemon = daemon.pid_file(file);
        }
        daemon.start().context("cannot leave the terminal")?;
        Ok(())
    }
}
