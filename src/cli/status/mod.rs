//! `graceful-relay status`: what the running relay says of itself.

mod screen;

use anyhow::bail;
use clap::Args;

use super::settings::Settings;
use crate::admin::{self, Answer, Question};

#[derive(Debug, Args)]
pub(super) struct Status {
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

impl Status {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = self.settings.load(None)?;
        let status = match admin::ask(&config.folder, &Question::Status {}).await? {
            Answer::Status(status) => status,
            Answer::Error(text) => bail!("{text}"),
            _ => bail!("the relay answered another question"),
        };
        if self.json {
            println!("{status}");
        } else {
            print!("{}", screen::screen(&serde_json::from_value(status)?));
        }
        Ok(())
    }
}
