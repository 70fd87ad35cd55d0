//! `graceful-relay healthcheck`: whether the relay on this data folder is ready, for whoever restarts what is
//! not, such as containers.

use anyhow::bail;
use clap::Args;

use super::settings::Settings;
use crate::admin::{self, Answer, Overview, Question};

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
        let status = match admin::ask(&config.folder, &Question::Status {}).await? {
            Answer::Status(status) => serde_json::from_value::<Overview>(status)?,
            Answer::Error(text) => bail!("{text}"),
            _ => bail!("the relay answered another question"),
        };
        if !status.causes.is_empty() {
            bail!("the relay is not ready: {}", status.causes.join("; "));
        }
        println!("ready");
        Ok(())
    }
}
