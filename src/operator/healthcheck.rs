//! `graceful-relay healthcheck`: readiness as an exit code, for containers.

use anyhow::bail;
use clap::Args;

use super::admin_client;
use crate::config_args::ConfigArgs;
use graceful_server::admin::StatusReport;

#[derive(Debug, Args)]
pub(crate) struct Healthcheck {
    #[command(flatten)]
    config_args: ConfigArgs,
}

impl Healthcheck {
    /// # Errors
    /// The reasons, if the relay is not ready.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let config = self.config_args.load(None)?;
        let status: StatusReport =
            serde_json::from_value(admin_client::status(&config.data_dir).await?)?;
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
