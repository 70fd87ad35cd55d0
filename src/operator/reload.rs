//! `graceful-relay reload`: reloads the running relay's configuration and certificate.

use clap::Args;

use super::admin_client::{ask, unexpected_response};
use crate::config_args::ConfigArgs;
use graceful_server::admin::{AdminRequest, AdminResponse};

#[derive(Debug, Args)]
pub(crate) struct Reload {
    #[command(flatten)]
    config_args: ConfigArgs,
}

impl Reload {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let config = self.config_args.load(None)?;
        let AdminResponse::Reloaded(text) = ask(&config.data_dir, &AdminRequest::Reload {}).await?
        else {
            return Err(unexpected_response());
        };
        println!("{text}");
        Ok(())
    }
}
