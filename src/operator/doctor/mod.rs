//! `graceful-relay doctor`: finds problems and suggests the next step.

mod bundle;
mod network;
mod page;
mod redact;
mod relay;

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::config_args::ConfigArgs;
use graceful_server::admin::StatusReport;
use graceful_server::config::Config;
use graceful_server::doctor::{
    Finding, Level, clock, data_dir, free_space, open_files, sync_speed,
};

/// The exit code: 1 with warnings, 2 with failures.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("problems found")]
pub(crate) struct ProblemsFound(pub(crate) u8);

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write a support bundle without private data
    #[arg(long, value_name = "FILE.tar.gz")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    config_args: ConfigArgs,
}

/// The findings and their sources.
struct Examined {
    findings: Vec<Finding>,
    config: Option<Config>,
    /// The running relay's status.
    status: Option<StatusReport>,
}

impl Doctor {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let examined = examine(&self.config_args).await;
        if self.json {
            println!(
                "{}",
                serde_json::json!({ "worst": examined.worst(), "findings": examined.findings })
            );
        } else {
            print!("{}", page::page(&examined.findings));
        }
        if let Some(path) = &self.bundle {
            bundle::write(path, &examined)
                .with_context(|| format!("cannot write {}", path.display()))?;
            eprintln!("Wrote {}. Read it before you share it.", path.display());
        }
        match examined.worst() {
            Level::Ok => Ok(()),
            Level::Warning => Err(ProblemsFound(1).into()),
            Level::Failure => Err(ProblemsFound(2).into()),
        }
    }
}

impl Examined {
    fn worst(&self) -> Level {
        self.findings
            .iter()
            .map(|finding| finding.level)
            .max()
            .unwrap_or(Level::Ok)
    }
}

async fn examine(config_args: &ConfigArgs) -> Examined {
    let config = match config_args.load(None) {
        Ok(config) => config,
        Err(error) => {
            let next = "Correct it, and run `graceful-relay config check`.";
            let findings = vec![Finding::failure("configuration", error.to_string(), next)];
            return Examined {
                findings,
                config: None,
                status: None,
            };
        }
    };
    let mut findings = vec![settings_of(&config)];
    findings.extend(data_dir(&config.data_dir));
    let (relay, status) = relay::relay(&config).await;
    findings.extend(relay);
    if config.data_dir.is_dir() {
        let (path, free_bytes_min) = (config.data_dir.clone(), config.min_free_bytes);
        let looked = tokio::task::spawn_blocking(move || {
            let mut found = sync_speed(&path);
            found.push(free_space(&path, free_bytes_min));
            found.push(clock(&path));
            found
        });
        findings.extend(looked.await.unwrap_or_default());
    }
    let running = status.as_ref().and_then(|status| status.open_files_max);
    findings.push(open_files(config.connections_max as u64, running));
    findings.extend(network::ports(&config, status.as_ref()));
    findings.extend(network::names(&config).await);
    findings.extend(network::certificate(&config, status.as_ref()));
    if let Some(status) = &status {
        findings.extend(network::reach(status).await);
    }
    Examined {
        findings,
        config: Some(config),
        status,
    }
}

fn settings_of(config: &Config) -> Finding {
    let from = match &config.files.main {
        Some(file) => file.display().to_string(),
        None => "defaults, no file".to_owned(),
    };
    match config.warning() {
        Some(warning) => Finding::warning(
            "configuration",
            format!("{from}: {warning}"),
            "See docs/reference/limits.md.",
        ),
        None => Finding::ok("configuration", from),
    }
}
