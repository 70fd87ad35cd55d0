//! `graceful-relay verify`: audits all stored data, through the running relay or in the data directory.

mod date;
mod page;

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::admin_client::{ask, unexpected_response};
use super::offline_store;
use crate::config_args::ConfigArgs;
use graceful_rules::audit::{AuditCounts, ScanPage, ScanRange};
use graceful_server::admin::{AdminError, AdminRequest, AdminResponse};
use graceful_server::config::Config;
use graceful_store::Engine as _;

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config_args: ConfigArgs,
}

/// The audit result.
struct Verified {
    counts: AuditCounts,
    /// Version of the auditor: the running relay or this program.
    version: String,
    live: bool,
    at_s: u64,
}

impl Verify {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let config = self.config_args.load(None)?;
        let bar = ProgressBar::new_spinner().with_style(ProgressStyle::with_template(
            "{spinner} audited {human_pos} envelopes",
        )?);
        bar.enable_steady_tick(Duration::from_millis(120));
        let verified = verify(&config, &bar).await;
        bar.finish_and_clear();
        let verified = verified?;
        if self.json {
            println!("{}", verified.json());
        } else {
            print!("{}", page::page(&verified, &config.data_dir));
        }
        let failed = verified
            .counts
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
                "{what} not hold; an app without encryption, another program or a failing disk wrote this store"
            );
        }
        Ok(())
    }
}

async fn verify(config: &Config, bar: &ProgressBar) -> anyhow::Result<Verified> {
    let at_s = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    match inspect(&config.data_dir, ScanRange::FIRST).await {
        Ok((version, first)) => {
            let counts = through_relay(&config.data_dir, first, bar).await?;
            Ok(Verified {
                counts,
                version,
                live: true,
                at_s,
            })
        }
        Err(error) if matches!(error.downcast_ref(), Some(AdminError::NotRunning(_))) => {
            let (config, bar) = (config.clone(), bar.clone());
            let looked = tokio::task::spawn_blocking(move || in_folder(&config, &bar)).await;
            let counts = looked.context("audit task panicked")??;
            Ok(Verified {
                counts,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                live: false,
                at_s,
            })
        }
        Err(error) => Err(error),
    }
}

async fn inspect(folder: &Path, range: ScanRange) -> anyhow::Result<(String, ScanPage)> {
    match ask(folder, &AdminRequest::Inspect { range }).await? {
        AdminResponse::Inspect { version, part } => Ok((version, part)),
        _ => Err(unexpected_response()),
    }
}

async fn through_relay(
    folder: &Path,
    first: ScanPage,
    bar: &ProgressBar,
) -> anyhow::Result<AuditCounts> {
    let ScanPage {
        mut counts,
        mut next,
    } = first;
    while let Some(range) = next {
        bar.set_position(counts.envelopes);
        let part = inspect(folder, range).await?.1;
        counts.merge(&part.counts);
        next = part.next;
    }
    Ok(counts)
}

fn in_folder(config: &Config, bar: &ProgressBar) -> anyhow::Result<AuditCounts> {
    let store = offline_store::open(config)?;
    Ok(store.audit_all(&mut |envelopes| bar.set_position(envelopes))?)
}

impl Verified {
    fn json(&self) -> serde_json::Value {
        let checks = self.counts.checks();
        json!({
            "holds": checks.iter().all(|check| check.holds),
            "at": date::utc(self.at_s),
            "version": self.version,
            "live": self.live,
            "envelopes": self.counts.envelopes,
            "envelope_bytes": self.counts.envelope_bytes(),
            "accounts": self.counts.accounts,
            "sizes": self.counts.sizes,
            "chi_square": self.counts.bytes.chi_square(),
            "entropy_bits": self.counts.bytes.entropy_bits(),
            "checks": checks,
        })
    }
}
