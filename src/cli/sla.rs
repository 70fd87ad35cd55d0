//! `graceful-relay sla`: the record of uptime, month by month.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};

use super::settings::Settings;
use crate::admin::sla::{Ledger, Month, Report};
use crate::admin::{self, AdminError, Answer, Question};

#[derive(Debug, Subcommand)]
pub(super) enum Sla {
    /// Report one month: uptime against the target, how fast pushes were stored, incidents, credits
    Report(Reported),
}

#[derive(Debug, Args)]
pub(super) struct Reported {
    /// Which, like 2026-11 [default: this one, so far]
    #[arg(long, value_name = "YEAR-MONTH")]
    month: Option<Month>,
    /// How to write it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write it to this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For a terminal
    Text,
    /// For a document
    Markdown,
    /// For programs
    Json,
    /// A page of its own, with plots
    Html,
}

impl Sla {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Report(report) => report.run().await,
        }
    }
}

impl Reported {
    async fn run(self) -> anyhow::Result<()> {
        let config = self.settings.load(None)?;
        // What the relay has in memory belongs in it.
        let running = match admin::ask(&config.folder, &Question::Note {}).await {
            Ok(Answer::Noted) => true,
            Ok(Answer::Error(text)) => bail!("{text}"),
            Ok(_) => bail!("the relay answered another question"),
            Err(AdminError::NotRunning(_)) => false,
            Err(error) => return Err(error.into()),
        };
        let ledger = Ledger::read(&config.folder, config.agreement.planned_stop_max_ms)?;
        if ledger.records().is_empty() {
            bail!(
                "there is no record of uptime in {}; it begins with the first start",
                config.folder.display()
            );
        }
        let now = admin::moment(0);
        let month = self.month.unwrap_or_else(|| Month::of(now.wall_ms));
        let report = Report::new(&ledger, &config.agreement, month, &now, running);
        let text = match self.format {
            Format::Text => report.to_text(),
            Format::Markdown => report.to_markdown(),
            Format::Json => serde_json::to_string_pretty(&report)? + "\n",
            Format::Html => report.to_html(),
        };
        match &self.out {
            Some(path) => {
                std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
            }
            None => print!("{text}"),
        }
        Ok(())
    }
}
