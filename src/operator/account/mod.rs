//! `graceful-relay account`: accounts of the running relay.

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

/// Characters of an id to type before its deletion.
const CONFIRM_CHARS: usize = 4;

#[derive(Debug, Subcommand)]
pub(crate) enum Account {
    /// List accounts, largest first
    List(List),
    /// Show one account and its devices
    Show(Show),
    /// Set or reset an account's quota
    SetQuota(SetQuota),
    /// Delete an account from the relay
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Sort order
    #[arg(long, value_enum, default_value_t = By::Bytes)]
    by: By,
    /// Accounts to list
    #[arg(long, value_name = "N", default_value_t = 50, conflicts_with = "all")]
    limit: u64,
    /// List all accounts
    #[arg(long)]
    all: bool,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config_args: ConfigArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    /// Devices
    Devices,
    /// Stored bytes
    Bytes,
    /// Stored envelopes
    Envelopes,
    /// Arrival of the newest stored envelope
    Activity,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Account id, or a prefix of 8+ characters
    #[arg(value_name = "ID", allow_hyphen_values = true)]
    id: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config_args: ConfigArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SetQuota {
    /// Account id, or a prefix of 8+ characters
    #[arg(value_name = "ID", allow_hyphen_values = true)]
    id: String,
    /// Storage quota, like 2GB
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
    /// Account id, or a prefix of 8+ characters
    #[arg(value_name = "ID", allow_hyphen_values = true)]
    id: String,
    /// Do not ask for confirmation
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
            println!("No accounts. Create an invitation with `graceful-relay invite create`.");
        } else if after.is_some() && !self.json {
            eprintln!("There are more accounts; use --all or a larger --limit.");
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
            // A limit that is not given stays.
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
                    "Deleted the account and {envelopes} envelopes. Connected devices are informed."
                );
                Ok(())
            }
            _ => Err(unexpected_response()),
        }
    }
}

/// Asks for the first characters of the id.
fn confirm(detail: &AccountDetail) -> anyhow::Result<()> {
    ensure!(
        std::io::stdin().is_terminal(),
        "cannot ask for confirmation without a terminal; add --yes"
    );
    let letters: String = detail.entry.account.chars().take(CONFIRM_CHARS).collect();
    eprint!("{}", page::detail(detail));
    eprint!(
        "\nThis deletes the account from this relay. Devices lose the envelopes that they have not fetched.\n\
         Type the first {CONFIRM_CHARS} characters of the id to delete it: "
    );
    let mut typed = String::new();
    std::io::stdin().lock().read_line(&mut typed)?;
    ensure!(
        typed.trim() == letters,
        "the characters do not match; nothing is deleted"
    );
    Ok(())
}

async fn find(folder: &Path, letters: String) -> anyhow::Result<AccountDetail> {
    match ask(folder, &AdminRequest::Account { letters }).await? {
        AdminResponse::Account(detail) => Ok(*detail),
        _ => Err(unexpected_response()),
    }
}
