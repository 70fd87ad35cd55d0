//! `graceful-relay status`: what the running relay says of itself.

mod screen;

use clap::Args;

use super::asked;
use super::settings::Settings;

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
        let status = asked::status(&config.folder).await?;
        if self.json {
            println!("{status}");
        } else {
            print!("{}", screen::screen(&serde_json::from_value(status)?));
        }
        Ok(())
    }
}
