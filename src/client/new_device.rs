//! What `create` and `join` are told of the device that they make.

use clap::Args;

use super::profile;
use graceful_client::ConnectOptions;

#[derive(Debug, Args)]
pub(super) struct NewDevice {
    /// What people call this device [default: the machine's name]
    #[arg(long)]
    name: Option<String>,
    /// What programs call this device; travels sealed [default: random]
    #[arg(long, value_name = "ID")]
    device_id: Option<String>,
    /// Allow ws:// to another machine: changes stay sealed, but who talks to whom can be seen
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
