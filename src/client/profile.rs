//! The profile directory and the options of a new device, with their defaults.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use data_encoding::HEXLOWER;

use graceful_client::ConnectOptions;

/// Options of a new device.
#[derive(Debug, Args)]
pub(super) struct NewDevice {
    /// Display name of the device [default: host name]
    #[arg(long)]
    name: Option<String>,
    /// Device id for apps, stored encrypted [default: random]
    #[arg(long, value_name = "ID")]
    device_id: Option<String>,
    /// Allow ws:// to another machine
    #[arg(long)]
    plain: bool,
}

impl NewDevice {
    pub(super) fn name(&self) -> String {
        self.name.clone().unwrap_or_else(device_name)
    }

    pub(super) fn id(&self) -> String {
        self.device_id.clone().unwrap_or_else(random_id)
    }

    pub(super) fn connect(&self) -> ConnectOptions {
        ConnectOptions {
            allow_plain: self.plain,
        }
    }
}

/// Returns the given directory, or the user's default.
pub(super) fn profile_dir(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(profile_dir) = named {
        return Ok(profile_dir);
    }
    let data = std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|profile_dir| profile_dir.is_absolute());
    let home = || {
        std::env::var_os("HOME")
            .or_else(|| std::env::var_os("LOCALAPPDATA"))
            .map(PathBuf::from)
    };
    data.or_else(|| home().map(|home| home.join(".local/share")))
        .map(|profile_dir| profile_dir.join("graceful-relay/client"))
        .context("no home directory found; set --profile")
}

/// Returns the host name.
pub(super) fn device_name() -> String {
    let of_file = |path: &str| std::fs::read_to_string(Path::new(path)).ok();
    let names = [
        of_file("/proc/sys/kernel/hostname"),
        of_file("/etc/hostname"),
        std::env::var("COMPUTERNAME").ok(),
        std::env::var("HOSTNAME").ok(),
    ];
    let named = names
        .into_iter()
        .flatten()
        .map(|name| name.trim().to_owned());
    named
        .into_iter()
        .find(|name| !name.is_empty())
        .unwrap_or_else(|| "Device".to_owned())
}

/// Returns a random id for devices and changes without one.
///
/// # Panics
/// If the system has no random number generator.
pub(super) fn random_id() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has a random number generator");
    HEXLOWER.encode(&bytes)
}
