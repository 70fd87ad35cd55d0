//! `graceful-relay reload`: has the running relay read its settings and its certificate again.

use anyhow::bail;
use clap::Args;

use super::settings::Settings;
use crate::admin::{self, Answer, Question};

#[derive(Debug, Args)]
pub(super) struct Reload {
    #[command(flatten)]
    settings: Settings,
}

impl Reload {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = self.settings.load(None)?;
        match admin::ask(&config.folder, &Question::Reload {}).await? {
            Answer::Reloaded(text) => println!("{text}"),
            Answer::Error(text) => bail!("{text}"),
            _ => bail!("the relay answered another question"),
        }
        Ok(())
    }
}
