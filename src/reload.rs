//! `graceful-relay reload`: has the running relay read its settings and its certificate again.

use clap::Args;

use super::admin_client::{ask, unexpected_response};
use super::config_args::ConfigArgs;
use graceful_server::admin::{AdminRequest, AdminResponse};

#[derive(Debug, Args)]
pub(super) struct Reload {
    #[command(flatten)]
    config_args: ConfigArgs,
}

impl Reload {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = self.config_args.load(None)?;
        let AdminResponse::Reloaded(text) = ask(&config.folder, &AdminRequest::Reload {}).await?
        else {
            return Err(unexpected_response());
        };
        println!("{text}");
        Ok(())
    }
}
