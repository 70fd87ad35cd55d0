//! `graceful-relay account`: what the running relay keeps for whom, and what its operator may change.

mod page;

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use anyhow::ensure;
use clap::{Args, Subcommand, ValueEnum};

use super::admin_client::{ask, unexpected_response};
use crate::config_args::ConfigArgs;
use graceful_rules::Quota;
use graceful_rules::account_list::{
    AccountDetail, AccountListPage, AccountOrder, AccountSummary, ListRequest, PAGE_ACCOUNTS_MAX,
};
use graceful_server::admin::{AdminRequest, AdminResponse};
use graceful_server::config::units::ByteSize;

/// Letters of an id that are typed to confirm its end.
const CONFIRM_LETTERS: usize = 4;

#[derive(Debug, Subcommand)]
pub(crate) enum Account {
    /// List accounts, the largest first
    List(List),
    /// Show one account and its devices
    Show(Show),
    /// Let one account keep more or less than others
    SetQuota(SetQuota),
    /// Delete everything of one account; its devices keep what they have
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// What to list them by
    #[arg(long, value_enum, default_value_t = By::Bytes)]
    by: By,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50, conflicts_with = "all")]
    limit: u64,
    /// All of them
    #[arg(long)]
    all: bool,
    /// Print JSON, a line for each account
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config_args: ConfigArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    /// How many devices it has
    Devices,
    /// Bytes that are kept for it
    Bytes,
    /// Envelopes that are kept for it
    Envelopes,
    /// When the newest envelope came that is still kept
    Activity,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Its id, or how that begins: 8 letters at least
    #[arg(value_name = "ID", allow_hyphen_values = true)]
    id: String,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config_args: ConfigArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SetQuota {
    /// Its id, or how that begins: 8 letters at least
    #[arg(value_name = "ID", allow_hyphen_values = true)]
    id: String,
    /// Storage, like 2GB or "512 MiB"
    #[arg(value_name = "SIZE", required_unless_present_any = ["envelopes", "reset"])]
    size: Option<ByteSize>,
    /// Stored envelopes
    #[arg(long, value_name = "N")]
    envelopes: Option<u64>,
    /// Use the configured quota again
    #[arg(long, conflicts_with_all = ["size", "envelopes"])]
    reset: bool,
    #[command(flatten)]
    config_args: ConfigArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Its id, or how that begins: 8 letters at least
    #[arg(value_name = "ID", allow_hyphen_values = true)]
    id: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    config_args: ConfigArgs,
}

impl Account {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::List(list) => list.run().await,
            Self::Show(show) => show.run().await,
            Self::SetQuota(quota) => quota.run().await,
            Self::Delete(delete) => delete.run().await,
        }
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let config = self.config_args.load(None)?;
        let order = match self.by {
            By::Devices => AccountOrder::Devices,
            By::Bytes => AccountOrder::Bytes,
            By::Envelopes => AccountOrder::Envelopes,
            By::Activity => AccountOrder::Activity,
        };
        let mut left = if self.all { u64::MAX } else { self.limit };
        let (mut after, mut shown) = (None, 0_u64);
        while left > 0 {
            let accounts_max = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(PAGE_ACCOUNTS_MAX);
            let page = ListRequest {
                order,
                after,
                accounts_max,
            };
            let AccountListPage { entries, next } =
                match ask(&config.data_dir, &AdminRequest::Accounts { page }).await? {
                    AdminResponse::Accounts(listed) => listed,
                    _ => return Err(unexpected_response()),
                };
            if shown == 0 && !self.json && !entries.is_empty() {
                println!("{}", page::heading());
            }
            for entry in &entries {
                self.show(entry)?;
            }
            (left, shown) = (
                left.saturating_sub(entries.len() as u64),
                shown + entries.len() as u64,
            );
            after = next;
            if next.is_none() {
                break;
            }
        }
        if shown == 0 && !self.json {
            println!(
                "There are no accounts yet. `graceful-relay invite create` creates an invitation for one."
            );
        } else if after.is_some() && !self.json {
            eprintln!("There are more; see them with --all or a larger --limit.");
        }
        Ok(())
    }

    fn show(&self, entry: &AccountSummary) -> anyhow::Result<()> {
        let line = if self.json {
            serde_json::to_string(entry)?
        } else {
            page::line(entry)
        };
        Ok(writeln!(std::io::stdout().lock(), "{line}")?)
    }
}

impl Show {
    async fn run(self) -> anyhow::Result<()> {
        let config = self.config_args.load(None)?;
        let detail = find(&config.data_dir, self.id).await?;
        if self.json {
            println!("{}", serde_json::to_string(&detail)?);
        } else {
            print!("{}", page::detail(&detail));
        }
        Ok(())
    }
}

impl SetQuota {
    async fn run(self) -> anyhow::Result<()> {
        let config = self.config_args.load(None)?;
        let AccountSummary { account, quota, .. } = find(&config.data_dir, self.id).await?.entry;
        let quota = match self.reset {
            true => Quota::default(),
            // What is not named stays as it is.
            false => Quota {
                bytes_max: self.size.map(|size| size.0).or(quota.bytes_max),
                envelopes_max: self.envelopes.or(quota.envelopes_max),
            },
        };
        match ask(
            &config.data_dir,
            &AdminRequest::SetQuota {
                account: account.clone(),
                quota,
            },
        )
        .await?
        {
            AdminResponse::QuotaSet => {}
            _ => return Err(unexpected_response()),
        }
        println!(
            "{}",
            page::quota(&find(&config.data_dir, account).await?.entry)
        );
        Ok(())
    }
}

impl Delete {
    async fn run(self) -> anyhow::Result<()> {
        let config = self.config_args.load(None)?;
        let detail = find(&config.data_dir, self.id).await?;
        let account = detail.entry.account.clone();
        if !self.yes {
            confirm(&detail)?;
        }
        match ask(&config.data_dir, &AdminRequest::Delete { account }).await? {
            AdminResponse::Deleted { envelopes } => {
                println!(
                    "Deleted, with {envelopes} envelopes. Devices that are connected were told."
                );
                Ok(())
            }
            _ => Err(unexpected_response()),
        }
    }
}

/// A slip of the hand must not do this.
fn confirm(detail: &AccountDetail) -> anyhow::Result<()> {
    ensure!(
        std::io::stdin().is_terminal(),
        "nobody is there to confirm this; add --yes where that is meant"
    );
    let letters: String = detail.entry.account.chars().take(CONFIRM_LETTERS).collect();
    eprint!("{}", page::detail(detail));
    eprint!(
        "\nEverything above goes from this relay, for good. What devices have not yet fetched is lost to them.\n\
         Type the first {CONFIRM_LETTERS} letters of the id to delete it: "
    );
    let mut typed = String::new();
    std::io::stdin().lock().read_line(&mut typed)?;
    ensure!(
        typed.trim() == letters,
        "that is something else; nothing was deleted"
    );
    Ok(())
}

async fn find(folder: &Path, letters: String) -> anyhow::Result<AccountDetail> {
    match ask(folder, &AdminRequest::Account { letters }).await? {
        AdminResponse::Account(detail) => Ok(*detail),
        _ => Err(unexpected_response()),
    }
}
