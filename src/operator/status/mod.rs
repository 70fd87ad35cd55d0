//! `graceful-relay status`: state, figures and warnings of the running relay.

mod screen;

use clap::Args;

use super::admin_client;
use crate::config_args::ConfigArgs;

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config_args: ConfigArgs,
}

impl Status {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let config = self.config_args.load(None)?;
        let status = admin_client::status(&config.data_dir).await?;
        if self.json {
            println!("{status}");
        } else {
            print!("{}", screen::screen(&serde_json::from_value(status)?));
        }
        Ok(())
    }
}
