//! `graceful-relay bench`: measures a relay under load.
//!
//! The accounts are deleted when the run ends, also after errors.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use crate::signals::{Interrupted, stop_requested};
use crate::temp_dir::TempDir;
use graceful_loadgen::accounts::{AccountPlan, Accounts, Deleted};
use graceful_loadgen::load::Outcome;
use graceful_loadgen::local::{LocalRelay, Setup};
use graceful_loadgen::plan::Plan;
use graceful_loadgen::process::{Process, Used};
use graceful_loadgen::report::{Around, Report};
use graceful_loadgen::worker::Payload;
use graceful_raw_client::ConnectOptions;
use graceful_raw_client::Connector;

#[derive(Debug, Args)]
pub struct Bench {
    /// Relay URL [default: start a temporary relay]
    #[arg(value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    plan: Plan,
    /// Start the relay with TLS
    #[arg(long, conflicts_with = "url")]
    tls: bool,
    /// Directory for the started relay's data
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    dir: Option<PathBuf>,
    /// Process of a local relay, to measure its usage
    #[arg(long, value_name = "PID", requires = "url")]
    pid: Option<u32>,
    /// Allow ws:// to another machine
    #[arg(long)]
    allow_plain: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write a chart to this file
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

/// The measured relay.
struct Target {
    url: String,
    process: Option<Process>,
    /// Stopped on drop, before its directory is deleted.
    _own: Option<(LocalRelay, TempDir)>,
}

/// The measurement and its context.
struct Measured {
    outcome: Outcome,
    software: String,
    envelope_bytes: usize,
    connecting: Vec<Duration>,
    at_rest: Option<Used>,
}

impl Bench {
    pub async fn run(mut self) -> anyhow::Result<()> {
        self.plan = self.plan.clone().check()?;
        // Before there is anything to delete.
        let stopped = stop_requested();
        let stop = CancellationToken::new();
        let told_twice = async {
            stopped.await;
            let again = stop_requested();
            stop.cancel();
            again.await;
        };
        tokio::select! {
            done = self.play(&stop) => done,
            () = told_twice => Err(Interrupted.into()),
        }
    }

    /// Runs the load and prints the report. Deletes the accounts also after errors.
    async fn play(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        let target = self.target().await?;
        let options = ConnectOptions {
            allow_plain: self.allow_plain,
        };
        let mut accounts = Accounts::new(Connector::new(&target.url, &options)?);
        let mut measured = self.measure(&target, &options, &mut accounts, stop).await;
        let creators = measured
            .as_mut()
            .map(|measured| std::mem::take(&mut measured.outcome.creators));
        let deleted = accounts.delete_all(creators.unwrap_or_default()).await;
        if deleted.left > 0 {
            eprintln!(
                "cannot delete {} accounts; they stay on the relay",
                deleted.left
            );
        }
        if stop.is_cancelled() {
            return Err(Interrupted.into());
        }
        let measured = measured?;
        if let Some(trouble) = &measured.outcome.trouble {
            bail!("{}", graceful_loadgen::hints::explain(trouble));
        }
        self.tell(&measured, &target, deleted)
    }

    async fn target(&self) -> anyhow::Result<Target> {
        if let Some(url) = &self.url {
            return Ok(Target {
                url: url.clone(),
                process: self.pid.map(Process::new),
                _own: None,
            });
        }
        let parent = self.dir.clone().unwrap_or_else(std::env::temp_dir);
        let folder = TempDir::new_in(&parent, "bench", false)?;
        let data = folder.path().join("relay");
        let setup = Setup {
            program: graceful_loadgen::local::this_program()?,
            data,
            tls: self.tls,
            connections: self.plan.connections(),
        };
        let relay = LocalRelay::start(&setup).await?;
        Ok(Target {
            url: relay.url.clone(),
            process: Some(relay.process()),
            _own: Some((relay, folder)),
        })
    }

    async fn measure(
        &self,
        target: &Target,
        options: &ConnectOptions,
        accounts: &mut Accounts,
        stop: &CancellationToken,
    ) -> anyhow::Result<Measured> {
        let plan = &self.plan;
        let payload = Payload::random(plan.size);
        let envelope_bytes = payload.bytes();
        let asked = Connector::new(&target.url, options)?.dial().await;
        let greeting = asked
            .map_err(|trouble| anyhow!(graceful_loadgen::hints::explain(&trouble)))?
            .greeting;
        if let Some(objection) =
            graceful_loadgen::hints::objection(plan, envelope_bytes as u64, &greeting)
        {
            bail!("{objection}");
        }
        let at_rest = target.process.and_then(Process::used);
        let bar = self.bar("connecting", plan.connections() as u64);
        let wanted = AccountPlan {
            accounts: plan.accounts,
            devices: plan.devices,
        };
        let provisioned = accounts
            .create(wanted, &plan.invites, stop, |count| bar.set_position(count))
            .await;
        bar.finish_and_clear();
        let provisioned =
            provisioned.map_err(|trouble| anyhow!(graceful_loadgen::hints::explain(&trouble)))?;
        let connecting = provisioned.iter().map(|slot| slot.connecting).collect();
        let whole = plan.warm_up + plan.duration;
        let bar = self.bar("measuring", u64::try_from(whole.as_millis())?);
        let outcome = graceful_loadgen::load::run(
            plan,
            provisioned,
            payload,
            target.process,
            stop,
            |progress| {
                bar.set_position(u64::try_from(progress.elapsed.as_millis()).unwrap_or(u64::MAX));
                bar.set_message(format!("{} stored", HumanCount(progress.stored)));
            },
        )
        .await;
        bar.finish_and_clear();
        Ok(Measured {
            outcome,
            software: greeting.software,
            envelope_bytes,
            connecting,
            at_rest,
        })
    }

    /// Draws on standard error, if it is a terminal.
    fn bar(&self, label: &'static str, length: u64) -> ProgressBar {
        if self.json {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{prefix:12} {bar:32.cyan} {percent:>3} %  {msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(length)
            .with_style(style)
            .with_prefix(label)
    }

    fn tell(&self, measured: &Measured, target: &Target, deleted: Deleted) -> anyhow::Result<()> {
        let report = graceful_loadgen::report::report(
            &measured.outcome,
            Around {
                plan: &self.plan,
                software: measured.software.clone(),
                own_relay: self.url.is_none(),
                tls: target.url.starts_with("wss") || target.url.starts_with("https"),
                envelope_bytes: measured.envelope_bytes,
                connecting: &measured.connecting,
                at_rest: measured.at_rest,
                deleted,
            },
        );
        if self.json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            println!(
                "{}\n\n{}",
                self.sentence(&report),
                graceful_loadgen::page::page(&report).trim_end()
            );
        }
        if let Some(file) = &self.plot {
            std::fs::write(
                file,
                graceful_loadgen::plot::plot(&report, &self.sentence(&report)),
            )
            .with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(())
    }

    /// The run in one line.
    fn sentence(&self, report: &Report) -> String {
        let plan = &self.plan;
        let many = |count: usize, what: &str| {
            format!("{count} {what}{}", if count == 1 { "" } else { "s" })
        };
        let who = match plan.devices {
            1 => many(plan.accounts, "device"),
            devices => format!("{} of {devices} devices", many(plan.accounts, "account")),
        };
        if plan.mode == graceful_loadgen::plan::Mode::Idle {
            return format!("{who}, idle");
        }
        let pace = match plan.rate {
            Some(rate) => format!("{rate} pushes/s"),
            None => format!("{} in flight each", plan.in_flight),
        };
        let batch = if plan.batch > 1 {
            format!(", {} per frame", plan.batch)
        } else {
            String::new()
        };
        format!("{who}, {} bytes, {pace}{batch}", report.envelope_bytes)
    }
}
