//! `graceful-relay drain`: the running relay stops accepting connections, disconnects devices gradually and
//! exits.

use clap::Args;

use super::admin_client::{ask, unexpected_response};
use crate::config_args::ConfigArgs;
use graceful_server::admin::{AdminRequest, AdminResponse};

#[derive(Debug, Args)]
pub(crate) struct Drain {
    #[command(flatten)]
    config_args: ConfigArgs,
}

impl Drain {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let config = self.config_args.load(None)?;
        match ask(&config.data_dir, &AdminRequest::Drain {}).await? {
            AdminResponse::Draining => {
                println!(
                    "The relay is draining: it accepts no new connections and exits within {} seconds \
                     (server.shutdown_timeout).",
                    config.shutdown_timeout.as_secs()
                );
                Ok(())
            }
            _ => Err(unexpected_response()),
        }
    }
}
