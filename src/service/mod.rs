//! `graceful-relay service`: the program alone, made a service of the system it is on, as its packages make it.

#[cfg_attr(target_os = "linux", path = "systemd.rs")]
#[cfg_attr(target_os = "macos", path = "launchd.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod system;

mod place;

use clap::Subcommand;

#[derive(Debug, Clone, Copy, Subcommand)]
pub(super) enum Service {
    /// Put this program where the system has its own, with settings and a service that starts with the
    /// machine; over an older one, that is an upgrade
    Install,
    /// Start the service now
    Start,
    /// Stop the service in an orderly way, until it is started or the machine is
    Stop,
    /// Take service and program away; settings and what the relay keeps stay
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
