//! `graceful-relay drain`: the running relay lets nobody new in, sends its devices away for a little
//! while, and ends.

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
                    "The relay is draining: it takes no new connections and ends within {} seconds \
                     (server.shutdown_timeout).",
                    config.shutdown_timeout.as_secs()
                );
                Ok(())
            }
            _ => Err(unexpected_response()),
        }
    }
}
