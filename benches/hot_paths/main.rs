//! Cost of each step of a change.
//!
//! `cargo bench --bench hot_paths` measures the time of each step (with Criterion). `-- --check` counts instructions
//! instead, under callgrind, and compares them with `instructions.json` beside this file: the counts do not
//! depend on the load of the machine, so a regression shows. `-- --write` rewrites that file.

mod counted;
#[path = "../growth/harness.rs"]
#[allow(dead_code, reason = "made for more than this")]
mod harness;
mod paths;

use std::process::ExitCode;

use anyhow::{Context, Result};
use criterion::{Criterion, Throughput};

use paths::PATHS;

fn main() -> Result<ExitCode> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        [counted::TURNS, name] => {
            counted::turns(name)?;
            return Ok(ExitCode::SUCCESS);
        }
        ["--check", ..] => return counted::check(),
        ["--write", ..] => return counted::write(),
        _ => {}
    }
    // Cargo also runs benchmarks as tests; these measure nothing.
    if arguments.iter().any(|argument| argument == "--bench") {
        time()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn time() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("hot_paths");
    for path in &PATHS {
        let folder = tempfile::tempdir_in("target").context("no folder for the store")?;
        let mut work = path.ready(folder.path())?;
        group.throughput(Throughput::Elements(path.changes));
        group.bench_function(path.name, |bencher| bencher.iter(&mut work));
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}
