//! `graceful-relay healthcheck`: whether the relay on this data folder is ready, for whoever restarts what is
//! not, such as containers.

use anyhow::bail;
use clap::Args;

use super::asked;
use super::settings::Settings;
use graceful_server::admin::Overview;

#[derive(Debug, Args)]
pub(super) struct Healthcheck {
    #[command(flatten)]
    settings: Settings,
}

impl Healthcheck {
    /// # Errors
    /// Why it is not.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = self.settings.load(None)?;
        let status: Overview = serde_json::from_value(asked::status(&config.folder).await?)?;
        if !status.causes.is_empty() {
            bail!("the relay is not ready: {}", status.causes.join("; "));
        }
        println!("ready");
        Ok(())
    }
}
