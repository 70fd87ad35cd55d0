//! `graceful-relay healthcheck`: whether the relay on this data folder is ready, for whoever restarts what is
//! not, such as containers.

use anyhow::bail;
use clap::Args;

use super::admin_client;
use super::config_args::ConfigArgs;
use graceful_server::admin::StatusReport;

#[derive(Debug, Args)]
pub(super) struct Healthcheck {
    #[command(flatten)]
    config_args: ConfigArgs,
}

impl Healthcheck {
    /// # Errors
    /// Why it is not.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = self.config_args.load(None)?;
        let status: StatusReport =
            serde_json::from_value(admin_client::status(&config.folder).await?)?;
        if !status.not_ready_messages.is_empty() {
            bail!(
                "the relay is not ready: {}",
                status.not_ready_messages.join("; ")
            );
        }
        println!("ready");
        Ok(())
    }
}
