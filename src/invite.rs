//! `graceful-relay invite`: asks the running relay, or the store itself where none runs.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;

use super::admin_client::unexpected_response;
use super::config_args::ConfigArgs;
use super::duration;
use graceful_server::admin::{self, AdminError, AdminRequest, AdminResponse};
use graceful_server::relay;

#[derive(Debug, Args)]
pub(super) struct Invite {
    /// How long it is good: 30m, 12h, 7d
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = duration::parse)]
    lifetime: Duration,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config_args: ConfigArgs,
}

impl Invite {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = self.config_args.load(None)?;
        let lifetime_s = self.lifetime.as_secs();
        let invite = invite(&config.folder, self.lifetime).await?;
        if self.json {
            println!(
                "{}",
                serde_json::json!({ "invite": invite, "lifetime_s": lifetime_s })
            );
        } else {
            // The invitation alone on the output, so that it can be piped; the rest beside it.
            println!("{invite}");
            eprintln!("Good for one account, within {}.", spoken(lifetime_s));
        }
        Ok(())
    }
}

async fn invite(folder: &Path, lifetime: Duration) -> anyhow::Result<String> {
    let question = AdminRequest::Invite {
        lifetime_s: lifetime.as_secs(),
    };
    match admin::request(folder, &question).await {
        Ok(AdminResponse::Invite(invite)) => Ok(invite),
        Ok(AdminResponse::Error(text)) => bail!("{text}"),
        Ok(_) => Err(unexpected_response()),
        Err(AdminError::NotRunning(_)) => offline(folder, lifetime).await,
        Err(error) => Err(error.into()),
    }
}

/// Makes nothing new: files made here would belong to whoever typed the command, and the relay's
/// own user could not open them.
async fn offline(folder: &Path, lifetime: Duration) -> anyhow::Result<String> {
    if !folder.exists() {
        bail!(
            "no relay runs on the data folder {}, and none ever did; start one with `graceful-relay serve`, \
             or name its folder with --data",
            folder.display()
        );
    }
    let folder = folder.to_path_buf();
    let made = tokio::task::spawn_blocking(move || relay::invite_offline(&folder, lifetime));
    Ok(made.await.context("opening the store ended badly")??)
}

fn spoken(seconds: u64) -> String {
    let (number, unit) = match seconds {
        s if s % 86_400 == 0 => (s / 86_400, "day"),
        s if s % 3_600 == 0 => (s / 3_600, "hour"),
        s if s % 60 == 0 => (s / 60, "minute"),
        s => (s, "second"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_spoken_in_the_largest_unit_that_fits() {
        assert_eq!(spoken(604_800), "7 days");
        assert_eq!(spoken(3_600), "1 hour");
        assert_eq!(spoken(5_400), "90 minutes");
    }
}
