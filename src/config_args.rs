//! Flags that select the configuration.

use std::path::PathBuf;

use clap::Args;

use graceful_server::config::{Config, ConfigErrors, Flags, ProcessEnv, Sources, load};

#[derive(Debug, Clone, Args)]
pub(super) struct ConfigArgs {
    /// Configuration file [default: that of the service]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl ConfigArgs {
    pub(super) fn load(&self, listen: Option<String>) -> Result<Config, ConfigErrors> {
        load(&Sources {
            file: self.config.clone(),
            environment: std::env::vars_os().collect(),
            flags: Flags {
                listen,
                data_dir: self.data_dir.clone(),
            },
            env: ProcessEnv::read(),
        })
    }
}
