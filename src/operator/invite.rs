//! `graceful-relay invite`: invitations, by the running relay, or by its store where none runs.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};

use super::admin_client::unexpected_response;
use crate::config_args::ConfigArgs;
use graceful_server::admin::{self, AdminError, AdminRequest, AdminResponse};
use graceful_server::config::units::HumanDuration;
use graceful_server::relay;

const LIFETIME_MIN: HumanDuration = HumanDuration::from_secs(60);
/// Nobody remembers an older invitation.
const LIFETIME_MAX: HumanDuration = HumanDuration::from_secs(90 * 24 * 60 * 60);

#[derive(Debug, Subcommand)]
pub(crate) enum Invite {
    /// Create an invitation for one account
    Create(Create),
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Validity: 30m, 12h, 7d
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = lifetime)]
    lifetime: HumanDuration,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config_args: ConfigArgs,
}

impl Invite {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create(create) => create.run().await,
        }
    }
}

impl Create {
    async fn run(self) -> anyhow::Result<()> {
        let config = self.config_args.load(None)?;
        let invite = invite(&config.data_dir, self.lifetime.0).await?;
        if self.json {
            let lifetime_s = self.lifetime.seconds();
            println!(
                "{}",
                serde_json::json!({ "invite": invite, "lifetime_s": lifetime_s })
            );
        } else {
            // Only the invitation on standard output, so that it can be piped.
            println!("{invite}");
            eprintln!("Valid for one account, for {}.", self.lifetime);
        }
        Ok(())
    }
}

fn lifetime(text: &str) -> Result<HumanDuration, String> {
    let lifetime: HumanDuration = text.parse()?;
    match (LIFETIME_MIN..=LIFETIME_MAX).contains(&lifetime) {
        true => Ok(lifetime),
        false => Err(format!("must be between {LIFETIME_MIN} and {LIFETIME_MAX}")),
    }
}

async fn invite(data_dir: &Path, lifetime: Duration) -> anyhow::Result<String> {
    let request = AdminRequest::Invite {
        lifetime_s: lifetime.as_secs(),
    };
    match admin::request(data_dir, &request).await {
        Ok(AdminResponse::Invite(invite)) => Ok(invite),
        Ok(AdminResponse::Error(text)) => bail!("{text}"),
        Ok(_) => Err(unexpected_response()),
        Err(AdminError::NotRunning(_)) => offline(data_dir, lifetime).await,
        Err(error) => Err(error.into()),
    }
}

/// Creates no file: the relay's own user could not open one that belongs to another.
async fn offline(data_dir: &Path, lifetime: Duration) -> anyhow::Result<String> {
    if !data_dir.exists() {
        bail!(
            "no data directory {}; start the relay once with `graceful-relay serve`, or use another --data-dir",
            data_dir.display()
        );
    }
    let data_dir = data_dir.to_path_buf();
    let invite = tokio::task::spawn_blocking(move || relay::invite_offline(&data_dir, lifetime));
    Ok(invite.await.context("invitation task panicked")??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_bounded() {
        assert_eq!(lifetime("7d"), Ok(HumanDuration::from_secs(604_800)));
        for wrong in ["", "7", "0d", "91d", "1s", "99999999999999999999d"] {
            assert!(lifetime(wrong).is_err(), "{wrong}");
        }
    }
}
