//! `graceful-relay sla`: reports from the uptime log.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};

use super::admin_client::unexpected_response;
use crate::config_args::ConfigArgs;
use graceful_rules::uptime::days;
use graceful_server::admin::{self, AdminError, AdminRequest, AdminResponse};
use graceful_server::config::Config;
use graceful_server::observe::page::{self, Region, Regions, State};
use graceful_server::observe::sla::{Month, Report, UptimeLog};

#[derive(Debug, Subcommand)]
pub(crate) enum Sla {
    /// Report uptime, latency, incidents and credits
    Report(Reported),
    /// Write the status page as files
    Page(Paged),
}

#[derive(Debug, Args)]
pub(crate) struct Paged {
    /// Output directory for index.html and status.json
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A region's /status.json, repeatable [default: this relay]
    #[arg(long, value_name = "FILE")]
    from: Vec<PathBuf>,
    #[command(flatten)]
    config_args: ConfigArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Reported {
    /// Month, like 2026-11 [default: the current one]
    #[arg(long, value_name = "YEAR-MONTH")]
    month: Option<Month>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Output file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    config_args: ConfigArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// Text for a terminal
    Text,
    /// Markdown
    Markdown,
    /// JSON
    Json,
    /// HTML with plots
    Html,
}

impl Sla {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Report(report) => report.run().await,
            Self::Page(page) => page.run().await,
        }
    }
}

impl Reported {
    async fn run(self) -> anyhow::Result<()> {
        let config = self.config_args.load(None)?;
        let (uptime_log, running) = record(&config).await?;
        let now = graceful_server::observe::moment(0);
        let month = self.month.unwrap_or_else(|| Month::of(now.wall_ms));
        let report = Report::new(&uptime_log, &config.sla_terms, month, &now, running);
        let text = match self.format {
            Format::Text => report.to_text(),
            Format::Markdown => report.to_markdown(),
            Format::Json => serde_json::to_string_pretty(&report)? + "\n",
            Format::Html => report.to_html(),
        };
        match &self.out {
            Some(path) => {
                std::fs::write(path, text)
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
            None => print!("{text}"),
        }
        Ok(())
    }
}

/// Returns the uptime log, up to now if a relay is running, and whether one is.
async fn record(config: &Config) -> anyhow::Result<(UptimeLog, bool)> {
    let running = match admin::request(&config.data_dir, &AdminRequest::Note {}).await {
        Ok(AdminResponse::Noted) => true,
        Ok(AdminResponse::Error(text)) => bail!("{text}"),
        Ok(_) => return Err(unexpected_response()),
        Err(AdminError::NotRunning(_)) => false,
        Err(error) => return Err(error.into()),
    };
    let uptime_log = UptimeLog::read(&config.data_dir, config.sla_terms.planned_stop_max_ms)?;
    if uptime_log.records().is_empty() {
        bail!(
            "no uptime log in {}; the relay creates it at its first start",
            config.data_dir.display()
        );
    }
    Ok((uptime_log, running))
}

impl Paged {
    async fn run(self) -> anyhow::Result<()> {
        let regions = match self.from.is_empty() {
            true => vec![self.own().await?],
            false => {
                let read = self.from.iter().map(|file| read(file));
                read.collect::<anyhow::Result<Vec<_>>>()?
                    .into_iter()
                    .flatten()
                    .collect()
            }
        };
        std::fs::create_dir_all(&self.out)
            .with_context(|| format!("cannot create {}", self.out.display()))?;
        let html = page::page(&regions);
        let json = serde_json::to_string(&Regions { regions })?;
        for (name, text) in [("index.html", html), ("status.json", json)] {
            // Renamed into place, so that readers see the old or the new file.
            let (file, fresh) = (self.out.join(name), self.out.join(format!("{name}.new")));
            std::fs::write(&fresh, text)
                .and_then(|()| std::fs::rename(&fresh, &file))
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        println!("Wrote {}.", self.out.join("index.html").display());
        Ok(())
    }

    async fn own(&self) -> anyhow::Result<Region> {
        let config = self.config_args.load(None)?;
        let (uptime_log, running) = record(&config).await?;
        let now = graceful_server::observe::moment(0);
        let all = days(
            uptime_log.records(),
            uptime_log.planned_stop_max_ms(),
            (!running).then_some(&now),
        );
        let state = match running {
            true => told(admin::request(&config.data_dir, &AdminRequest::Status {}).await?),
            false => (State::Down, Some("the relay is not running".to_owned())),
        };
        let name = config.status_page.as_deref().unwrap_or("This relay");
        Ok(Region::new(name, &all, state, now.wall_ms))
    }
}

fn told(answer: AdminResponse) -> (State, Option<String>) {
    let AdminResponse::Status(status) = answer else {
        return (State::Down, None);
    };
    let cause = status["not_ready_messages"][0].as_str().map(str::to_owned);
    match status["state"].as_str() {
        Some("ready") => (State::Up, None),
        Some("draining") => (State::Maintenance, cause),
        _ => (State::Down, cause),
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<Region>> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let regions: Regions = serde_json::from_str(&text)
        .with_context(|| format!("{} is not the output of /status.json", file.display()))?;
    Ok(regions.regions)
}
