//! `graceful-relay status`: what the running relay says of itself.

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
        match (self.json, &status) {
            (false, serde_json::Value::Object(fields)) => {
                // What is there in seconds for programs is there in words, too.
                for (name, value) in fields.iter().filter(|(name, _)| !name.ends_with("_s")) {
                    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    println!("{:24}{value}", name.replace('_', " "));
                }
            }
            _ => println!("{status}"),
        }
        Ok(())
    }
}
