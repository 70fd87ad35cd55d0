//! `graceful-relay service`: installs this program as a system service, as the packages do.

#[cfg_attr(target_os = "linux", path = "systemd.rs")]
#[cfg_attr(target_os = "macos", path = "launchd.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod system;

mod place;

use clap::Subcommand;

#[derive(Debug, Clone, Copy, Subcommand)]
pub(super) enum Service {
    /// Install or upgrade program and service
    Install,
    /// Start the service
    Start,
    /// Stop the service
    Stop,
    /// Remove program and service, keep data
    Uninstall,
}

impl Service {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let said = match self {
            Self::Install => system::install(),
            Self::Start => system::start(),
            Self::Stop => system::stop(),
            Self::Uninstall => system::uninstall(),
        }?;
        println!("{said}");
        Ok(())
    }
}
