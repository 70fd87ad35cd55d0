//! `graceful-relay verify`: looks at everything that is kept, through the running relay or, where none
//! runs, in the folder itself, and prints what was found.

mod date;
mod page;

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::asked::{ask, odd};
use super::resting;
use super::settings::Settings;
use graceful_rules::inspection::{Part, Stretch, Tally};
use graceful_server::admin::{AdminError, Answer, Question};
use graceful_server::config::Config;

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

/// What was found, and who looked.
struct Verified {
    tally: Tally,
    /// Of what looked: the running relay, or this program.
    version: String,
    live: bool,
    at_s: u64,
}

impl Verify {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = self.settings.load(None)?;
        let bar = ProgressBar::new_spinner().with_style(ProgressStyle::with_template(
            "{spinner} looked at {human_pos} envelopes",
        )?);
        bar.enable_steady_tick(Duration::from_millis(120));
        let verified = verify(&config, &bar).await;
        bar.finish_and_clear();
        let verified = verified?;
        if self.json {
            println!("{}", verified.json());
        } else {
            print!("{}", page::page(&verified, &config.folder));
        }
        let failed = verified
            .tally
            .checks()
            .iter()
            .filter(|check| !check.holds)
            .count();
        if failed > 0 {
            let what = if failed == 1 {
                "1 check does".to_owned()
            } else {
                format!("{failed} checks do")
            };
            bail!(
                "{what} not hold; an app that does not seal, another program or a bad disk wrote this store"
            );
        }
        Ok(())
    }
}

async fn verify(config: &Config, bar: &ProgressBar) -> anyhow::Result<Verified> {
    let at_s = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    match inspect(&config.folder, Stretch::FIRST).await {
        Ok((version, first)) => {
            let tally = through_relay(&config.folder, first, bar).await?;
            Ok(Verified {
                tally,
                version,
                live: true,
                at_s,
            })
        }
        Err(error) if matches!(error.downcast_ref(), Some(AdminError::NotRunning(_))) => {
            let (config, bar) = (config.clone(), bar.clone());
            let looked = tokio::task::spawn_blocking(move || in_folder(&config, &bar)).await;
            let tally = looked.context("looking at the store ended badly")??;
            Ok(Verified {
                tally,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                live: false,
                at_s,
            })
        }
        Err(error) => Err(error),
    }
}

async fn inspect(folder: &Path, stretch: Stretch) -> anyhow::Result<(String, Part)> {
    match ask(folder, &Question::Inspect { stretch }).await? {
        Answer::Inspect { version, part } => Ok((version, part)),
        _ => Err(odd()),
    }
}

async fn through_relay(folder: &Path, first: Part, bar: &ProgressBar) -> anyhow::Result<Tally> {
    let Part {
        mut tally,
        mut next,
    } = first;
    while let Some(stretch) = next {
        bar.set_position(tally.envelopes);
        let part = inspect(folder, stretch).await?.1;
        tally.merge(&part.tally);
        next = part.next;
    }
    Ok(tally)
}

fn in_folder(config: &Config, bar: &ProgressBar) -> anyhow::Result<Tally> {
    let store = resting::open(config)?;
    Ok(store.inspect_all(&mut |envelopes| bar.set_position(envelopes))?)
}

impl Verified {
    fn json(&self) -> serde_json::Value {
        let checks = self.tally.checks();
        json!({
            "holds": checks.iter().all(|check| check.holds),
            "at": date::utc(self.at_s),
            "version": self.version,
            "live": self.live,
            "envelopes": self.tally.envelopes,
            "envelope_bytes": self.tally.envelope_bytes(),
            "accounts": self.tally.accounts,
            "sizes": self.tally.sizes,
            "chi_square": self.tally.bytes.chi_square(),
            "entropy_bits": self.tally.bytes.entropy_bits(),
            "checks": checks,
        })
    }
}
