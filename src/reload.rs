//! `graceful-relay reload`: has the running relay read its settings and its certificate again.

use clap::Args;

use super::asked::{ask, odd};
use super::settings::Settings;
use graceful_server::admin::{Answer, Question};

#[derive(Debug, Args)]
pub(super) struct Reload {
    #[command(flatten)]
    settings: Settings,
}

impl Reload {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = self.settings.load(None)?;
        let Answer::Reloaded(text) = ask(&config.folder, &Question::Reload {}).await? else {
            return Err(odd());
        };
        println!("{text}");
        Ok(())
    }
}
