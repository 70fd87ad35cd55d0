//! Options of a new device.

use clap::Args;

use super::profile;
use graceful_client::ConnectOptions;

#[derive(Debug, Args)]
pub(super) struct NewDevice {
    /// Device name for people [default: host name]
    #[arg(long)]
    name: Option<String>,
    /// Device id for programs, encrypted [default: random]
    #[arg(long, value_name = "ID")]
    device_id: Option<String>,
    /// Allow ws:// to another machine
    #[arg(long)]
    plain: bool,
}

impl NewDevice {
    pub(super) fn name(&self) -> String {
        self.name.clone().unwrap_or_else(profile::device_name)
    }

    pub(super) fn id(&self) -> String {
        self.device_id.clone().unwrap_or_else(profile::random_id)
    }

    pub(super) fn connect(&self) -> ConnectOptions {
        ConnectOptions {
            allow_plain: self.plain,
        }
    }
}
