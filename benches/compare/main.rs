//! Comparison of Graceful Relay with other servers: the same work, on the same disk, in turns. Run it with
//! `benches/compare/run`; it writes a part of docs/design/performance.md.
//!
//! The load comes from this one process for all of them, by the same loops over the same kind of
//! connection, and shares the machine with the server.

mod block;
mod driver;
mod line;
mod machine;
mod page;
mod peers;
mod scenarios;
mod server;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde::{Deserialize, Serialize};

use line::Certificate;
use peers::Kind;
use scenarios::{Contender, Settings, Values};

#[derive(Debug, Parser)]
#[command(name = "benches/compare/run")]
struct Options {
    /// Run one short round as a check
    #[arg(long)]
    quick: bool,
    /// Rounds, of which the lower median counts [default: 5]
    #[arg(long)]
    rounds: Option<usize>,
    /// Measured seconds per run [default: 5]
    #[arg(long)]
    seconds: Option<u64>,
    /// Only these scenarios, comma-separated
    #[arg(long, value_delimiter = ',')]
    scenarios: Vec<String>,
    /// Only these peers and the relay, comma-separated
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// Connections of the scenario push-1000 [default: 1000]
    #[arg(long)]
    many: Option<usize>,
    /// Connections of the scenario idle [default: 10000]
    #[arg(long)]
    idle: Option<usize>,
    /// Store bytes opened after a crash [default: 1000000000]
    #[arg(long)]
    reopen_bytes: Option<u64>,
    /// Directory on the disk to measure
    #[arg(long, default_value = "target")]
    folder: PathBuf,
    /// Output directory for numbers and charts
    #[arg(long, default_value = "docs/design/performance")]
    out: PathBuf,
    /// Keep the numbers of other scenarios
    #[arg(long)]
    add: bool,
    /// Rewrite the page without measuring
    #[arg(long)]
    draw: bool,
    /// Passed by Cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The raw numbers.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Raw {
    machine: String,
    date: String,
    seconds: u64,
    rounds: usize,
    many: usize,
    idle: usize,
    versions: Vec<(String, String)>,
    records: Vec<Record>,
}

/// One run.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    scenario: String,
    contender: String,
    round: usize,
    values: Values,
}

fn main() -> Result<()> {
    // Cargo also runs benchmarks as tests; these measure nothing.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let options = Options::parse();
    std::fs::create_dir_all(&options.out)?;
    let file = options.out.join("raw.json");
    let before = std::fs::read_to_string(&file)
        .ok()
        .filter(|_| options.add || options.draw);
    let before: Option<Raw> = before.map(|text| serde_json::from_str(&text)).transpose()?;
    let raw = match before {
        Some(raw) if options.draw => raw,
        before => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?;
            let raw = runtime.block_on(measure(&options, before.unwrap_or_default(), &file))?;
            runtime.shutdown_background();
            raw
        }
    };
    save(&raw, &file)?;
    page::write(&raw, &options.out)
}

fn settings(options: &Options) -> Result<Settings> {
    let quick = options.quick;
    let pick = |slow, fast| if quick { fast } else { slow };
    std::fs::create_dir_all(&options.folder)?;
    Ok(Settings {
        folder: options.folder.canonicalize()?,
        certificate: Certificate::make()?,
        time: Duration::from_secs(options.seconds.unwrap_or(pick(5, 1))),
        warm_up: Duration::from_millis(pick(1_000, 300)),
        many: options.many.unwrap_or(1_000),
        idle: options.idle.unwrap_or(usize::try_from(pick(10_000, 500))?),
        settle: Duration::from_secs(pick(12, 1)),
        reopen_bytes: options
            .reopen_bytes
            .unwrap_or(pick(1_000_000_000, 50_000_000)),
    })
}

async fn measure(options: &Options, mut raw: Raw, file: &Path) -> Result<Raw> {
    let settings = settings(options)?;
    let rounds = options.rounds.unwrap_or(if options.quick { 1 } else { 5 });
    let all = scenarios::all();
    for name in &options.scenarios {
        let known: Vec<_> = all.iter().map(|scenario| scenario.name).collect();
        ensure!(
            known.contains(&name.as_str()),
            "there is no scenario {name}; there are {}",
            known.join(", ")
        );
    }
    let wanted = |contender: &Contender| match contender {
        Contender::Server(kind, _) if *kind != Kind::Relay => {
            options.peers.is_empty() || options.peers.iter().any(|peer| peer == kind.word())
        }
        _ => true,
    };
    raw.machine = machine::description();
    raw.date = today()?;
    (raw.seconds, raw.rounds) = (settings.time.as_secs(), rounds);
    (raw.many, raw.idle) = (settings.many, settings.idle);
    raw.versions = Kind::ALL
        .map(|kind| (kind.name().to_owned(), kind.version()))
        .to_vec();
    for scenario in all {
        if !options.scenarios.is_empty()
            && !options.scenarios.iter().any(|name| name == scenario.name)
        {
            continue;
        }
        raw.records
            .retain(|record| record.scenario != scenario.name);
        let contenders: Vec<_> = scenario.contenders.iter().copied().filter(wanted).collect();
        for round in 0..rounds {
            for contender in &contenders {
                eprint!(
                    "{} {}/{rounds} {} … ",
                    scenario.name,
                    round + 1,
                    contender.name()
                );
                let turn = scenarios::turn(scenario.work, *contender, &settings).await;
                let values =
                    turn.with_context(|| format!("{}, {}", scenario.name, contender.name()));
                match values {
                    Ok(values) => {
                        eprintln!("{}", in_short(&values));
                        raw.records.push(Record {
                            scenario: scenario.name.to_owned(),
                            contender: contender.name(),
                            round,
                            values,
                        });
                    }
                    // A failure does not discard the other servers' numbers.
                    Err(error) => eprintln!("FAILED: {error:#}"),
                }
            }
        }
        // An interrupted run keeps its results.
        save(&raw, file)?;
    }
    Ok(raw)
}

fn save(raw: &Raw, file: &Path) -> Result<()> {
    Ok(std::fs::write(
        file,
        serde_json::to_string_pretty(raw)? + "\n",
    )?)
}

fn in_short(values: &Values) -> String {
    let shown = [
        "per_s",
        "mb_per_s",
        "p50_us",
        "delivered_p50_us",
        "server_cpu_us",
        "generator_cpu_us",
        "ready_ms",
        "resident_kb_each",
    ];
    let shown = shown
        .iter()
        .filter_map(|name| Some(format!("{name} {:.1}", values.get(*name)?)));
    shown.collect::<Vec<_>>().join(", ")
}

fn today() -> Result<String> {
    let said = std::process::Command::new("date")
        .args(["-u", "+%Y-%m-%d"])
        .output()?;
    Ok(String::from_utf8(said.stdout)?.trim().to_owned())
}
