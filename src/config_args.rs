//! The flags that say which settings are meant.

use std::path::PathBuf;

use clap::Args;

use graceful_server::config::{Config, ConfigErrors, Flags, Sources, Surroundings, load};

#[derive(Debug, Clone, Args)]
pub(super) struct ConfigArgs {
    /// Read the settings from this file [default: that of this machine's service, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Keep everything in this folder, whatever the settings say
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

impl ConfigArgs {
    pub(super) fn load(&self, listen: Option<String>) -> Result<Config, ConfigErrors> {
        load(&Sources {
            file: self.config.clone(),
            environment: std::env::vars_os().collect(),
            flags: Flags {
                listen,
                data: self.data.clone(),
            },
            surroundings: Surroundings::of_this_process(),
        })
    }
}
