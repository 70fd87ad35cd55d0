//! Growth of the store: the cost of pushes, deliveries, acks and sweeps by envelopes, devices and accounts;
//! the time to open it; the file size after a month.
//!
//! `cargo bench --bench growth`, with `-- --quick` in a minute or two, with `-- --large` up to ten million.
//! Writes its part of docs/design/performance.md.

#[path = "../compare/block.rs"]
mod block;
mod harness;
mod page;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use graceful_rules::RelayTime;
use graceful_rules::command::{Command, Outcome};
use graceful_store::{Engine as _, Store};
use serde::{Deserialize, Serialize};

use harness::{Harness, Values, measure as cost, note};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Time over which envelopes are stored, so that the oldest expire first.
const FILL_TIME: Duration = Duration::from_secs(20 * 24 * 60 * 60);
const RETENTION: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Pushes of different accounts in one commit, as under load.
const TOGETHER: usize = 64;
const TURNS_MAX: usize = 2_000;
const SWEEPS_MAX: usize = 5;

#[derive(Debug, Parser)]
#[command(name = "cargo bench --bench growth --")]
struct Options {
    /// Use small numbers for a quick check
    #[arg(long)]
    quick: bool,
    /// Add ten million envelopes: 20 GB, one hour
    #[arg(long)]
    large: bool,
    /// Seconds for each kind of work [default: 3]
    #[arg(long)]
    seconds: Option<u64>,
    /// Bytes of an envelope, before padding
    #[arg(long, default_value_t = 600)]
    size: usize,
    /// Directory on the disk to measure
    #[arg(long, default_value = "target")]
    folder: PathBuf,
    /// Output directory for numbers and charts
    #[arg(long, default_value = "docs/design/performance")]
    out: PathBuf,
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
    envelope_bytes: usize,
    /// By envelopes stored.
    stored: Vec<Values>,
    /// By devices in each account.
    devices: Vec<Values>,
    /// By accounts.
    accounts: Vec<Values>,
    /// By days of churn.
    month: Vec<Values>,
    /// Writes of an idle relay.
    idle: Values,
}

fn main() -> Result<()> {
    // Cargo also runs benchmarks as tests; these measure nothing.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let options = Options::parse();
    let file = options.out.join("growth.json");
    let raw = if options.draw {
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_str(&text)?
    } else {
        measure(&options)?
    };
    std::fs::create_dir_all(&options.out)?;
    std::fs::write(&file, serde_json::to_string_pretty(&raw)? + "\n")?;
    page::write(&raw, &options.out)
}

fn measure(options: &Options) -> Result<Raw> {
    let scratch = tempfile::Builder::new()
        .prefix("growth-")
        .tempdir_in(&options.folder)?;
    let time = match (options.seconds, options.quick) {
        (Some(seconds), _) => Duration::from_secs(seconds),
        (None, true) => Duration::from_millis(200),
        (None, false) => Duration::from_secs(3),
    };
    let mut sizes: Vec<u64> = if options.quick {
        vec![1_000, 10_000]
    } else {
        vec![10_000, 100_000, 1_000_000]
    };
    sizes.extend(options.large.then_some(10_000_000));
    let (devices, accounts): (&[usize], &[usize]) = match options.quick {
        true => (&[1, 8], &[10, 1_000]),
        false => (
            &[1, 2, 4, 8, 16, 32, 64],
            &[10, 100, 1_000, 10_000, 100_000],
        ),
    };
    let folder = |name: &str| scratch.path().join(name);
    let mut raw = Raw::default();
    eprintln!("by what is stored");
    let mut harness = Harness::new(
        &folder("stored"),
        if options.quick { 100 } else { 1_000 },
        2,
        options.size,
    )?;
    raw.envelope_bytes = harness.sealed.len();
    for size in sizes {
        harness.fill(size, FILL_TIME / 4)?;
        let (again, values) = stage(harness, size as f64, time, &folder("spare"))?;
        harness = again;
        raw.stored.push(values);
    }
    drop(harness);
    let same = if options.quick { 1_000 } else { 20_000 };
    for (name, numbers, all) in [
        ("devices", devices, &mut raw.devices),
        ("accounts", accounts, &mut raw.accounts),
    ] {
        eprintln!("by {name}");
        for number in numbers {
            let (accounts, devices) = if name == "devices" {
                (100, *number)
            } else {
                (*number, 2)
            };
            let data = folder(&format!("{name}-{number}"));
            let mut harness = Harness::new(&data, accounts, devices, options.size)?;
            harness.fill(same, FILL_TIME)?;
            let (harness, values) = stage(harness, *number as f64, time, &folder("spare"))?;
            all.push(values);
            drop(harness);
            std::fs::remove_dir_all(data)?;
        }
    }
    eprintln!("by days");
    month(&mut raw, &folder("month"), options)?;
    Ok(raw)
}

/// Measures each kind of work on a filled store. Sweeping deletes envelopes, so it uses a copy.
fn stage(
    mut harness: Harness,
    number: f64,
    time: Duration,
    spare: &Path,
) -> Result<(Harness, Values)> {
    let mut values = Values::from([("number".to_owned(), number)]);
    let disk = harness.folder.clone();
    let lone = cost(&mut harness, &disk, time, TURNS_MAX, |harness| {
        let account = harness.next_account();
        let change = harness.push(account);
        harness.commit(vec![change])?;
        Ok(1)
    })?;
    note(&mut values, "push", lone);
    let together = cost(&mut harness, &disk, time, TURNS_MAX, |harness| {
        let changes = (0..TOGETHER).map(|_| {
            let account = harness.next_account();
            harness.push(account)
        });
        let changes = changes.collect();
        harness.commit(changes)?;
        Ok(TOGETHER as u64)
    })?;
    note(&mut values, "push_together", together);
    if harness.accounts[0].devices.len() > 1 {
        let deliver = cost(&mut harness, &disk, time, TURNS_MAX * 10, |harness| {
            let account = harness.next_account();
            let account = &harness.accounts[account];
            let member = *account.devices.last().context("a device")?;
            Ok(harness.look(member, account.head.saturating_sub(1))? as u64)
        })?;
        note(&mut values, "deliver", deliver);
        acks(&mut harness, time, &mut values)?;
    }
    let (live, file) = (harness.live_bytes()?, harness.file_bytes());
    values.insert("live_bytes".to_owned(), live as f64);
    values.insert("file_bytes".to_owned(), file as f64);
    let (mut crashed, crashed_ms) = harness.crashed(spare)?;
    values.insert("crash_open_ms".to_owned(), crashed_ms);
    // After everything has expired.
    sweep(
        &mut crashed,
        spare,
        harness.now.plus(RETENTION + FILL_TIME),
        &mut values,
    )?;
    drop(crashed);
    std::fs::remove_dir_all(spare)?;
    let (harness, clean_ms) = harness.reopened()?;
    values.insert("open_ms".to_owned(), clean_ms);
    eprintln!("  {number}: {}", page::in_short(&values));
    Ok((harness, values))
}

/// Acknowledges one more envelope from all devices but the creator. The last ack deletes it.
fn acks(harness: &mut Harness, time: Duration, values: &mut Values) -> Result<()> {
    let disk = harness.folder.clone();
    let acks = cost(harness, &disk, time, TURNS_MAX, |harness| {
        let number = harness.next_account();
        let account = &mut harness.accounts[number];
        if account.acked == account.head {
            return Ok(0);
        }
        account.acked += 1;
        let through = account.acked;
        let others = account.devices[1..]
            .iter()
            .map(|by| Command::Ack { by: *by, through });
        let acks: Vec<_> = others.collect();
        let count = acks.len() as u64;
        harness.commit(acks)?;
        Ok(count)
    })?;
    note(values, "ack", acks);
    Ok(())
}

/// Measures a few commits of the sweep.
fn sweep(store: &mut Store, folder: &Path, now: RelayTime, values: &mut Values) -> Result<()> {
    let swept = cost(
        store,
        folder,
        Duration::from_secs(60),
        SWEEPS_MAX,
        |store| match store.commit(&[Command::Sweep], now)?.outcomes.first() {
            Some(Outcome::Swept { envelopes, .. }) => Ok(*envelopes),
            outcome => anyhow::bail!("not swept: {outcome:?}"),
        },
    )?;
    note(values, "sweep", swept);
    Ok(())
}

/// Simulates 35 days with the same number of pushes each day. Nine of ten are acknowledged on the same day;
/// the rest expires after 30.
fn month(raw: &mut Raw, folder: &Path, options: &Options) -> Result<()> {
    let a_day: u64 = if options.quick { 200 } else { 20_000 };
    let mut harness = Harness::new(folder, 200, 2, options.size)?;
    let mut pushed_bytes = 0;
    let own = graceful_loadgen::process::Process::new(std::process::id()).on_disk_of(folder);
    let before = own.used_alone();
    for day in 1..=35_u32 {
        let started = harness.now;
        for _ in 0..a_day / 100 {
            let changes = (0..100).map(|_| {
                let account = harness.next_account();
                harness.push(account)
            });
            let changes = changes.collect();
            harness.commit(changes)?;
            harness.now = harness.now.plus(DAY / u32::try_from(a_day / 100)?);
        }
        pushed_bytes += a_day * harness.sealed.len() as u64;
        let awake = harness
            .accounts
            .iter()
            .enumerate()
            .filter(|(number, _)| number % 10 != 0);
        let acks: Vec<_> = awake
            .filter(|(_, account)| account.head > account.acked)
            .map(|(number, account)| {
                (
                    number,
                    Command::Ack {
                        by: account.devices[1],
                        through: account.head,
                    },
                )
            })
            .collect();
        for (number, ack) in acks {
            harness.accounts[number].acked = harness.accounts[number].head;
            harness.commit(vec![ack])?;
        }
        harness.now = RelayTime::from_ms(started.ms()).plus(DAY);
        while let Some(Outcome::Swept { more: true, .. }) =
            harness.commit(vec![Command::Sweep])?.first()
        {}
        let written = own.used_alone().since(&before).written_bytes;
        raw.month.push(Values::from([
            ("number".to_owned(), f64::from(day)),
            ("live_bytes".to_owned(), harness.live_bytes()? as f64),
            ("file_bytes".to_owned(), harness.file_bytes() as f64),
            (
                "written_per_byte".to_owned(),
                written as f64 / pushed_bytes as f64,
            ),
        ]));
    }
    let mut harness = harness.compacted()?;
    raw.idle.insert(
        "compacted_live_bytes".to_owned(),
        harness.live_bytes()? as f64,
    );
    raw.idle.insert(
        "compacted_file_bytes".to_owned(),
        harness.file_bytes() as f64,
    );
    for (name, change) in [
        ("mark", Command::SaveClock),
        ("empty_sweep", Command::Sweep),
    ] {
        let cost = cost(
            &mut harness,
            folder,
            Duration::from_secs(2),
            50,
            |harness| {
                harness.commit(vec![change.clone()])?;
                Ok(1)
            },
        )?;
        note(&mut raw.idle, name, cost);
    }
    Ok(())
}
