//! `graceful-relay drain`: the running relay lets nobody new in, sends its devices away for a little
//! while, and ends.

use clap::Args;

use super::asked::{ask, odd};
use super::settings::Settings;
use graceful_server::admin::{Answer, Question};

#[derive(Debug, Args)]
pub(super) struct Drain {
    #[command(flatten)]
    settings: Settings,
}

impl Drain {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = self.settings.load(None)?;
        match ask(&config.folder, &Question::Drain {}).await? {
            Answer::Draining => {
                println!(
                    "The relay is draining: it takes no new connections and ends within {} seconds \
                     (server.drain_time_max_s).",
                    config.stop_timeout.as_secs()
                );
                Ok(())
            }
            _ => Err(odd()),
        }
    }
}
