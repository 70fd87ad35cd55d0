//! Instruction counts under callgrind, compared with the recorded ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::paths::{HotPath, PATHS};

/// Runs one path in this process, under callgrind.
pub const TURNS: &str = "--turns";

/// Tolerance in percent above the recorded count, since inlining varies.
const TOLERANCE_PERCENT: u64 = 3;

/// Minimum tolerance in instructions: a short path varies by about one call.
const TOLERANCE_INSTRUCTIONS: u64 = 50;

/// Counted separately: callgrind's processor lacks SHA-256 instructions, so it would dominate the count.
const HASHING: [&str; 2] = ["sha256", "compress"];

/// Instructions per change by path, and those of SHA-256 separately.
type Counts = BTreeMap<String, u64>;

fn record() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/hot_paths/instructions.json")
}

/// Runs the iterations of one path, after a warm-up.
pub fn turns(name: &str) -> Result<()> {
    let path = PATHS
        .iter()
        .find(|path| path.name == name)
        .context("no path has this name")?;
    let folder = tempfile::tempdir_in("target")?;
    let mut work = path.ready(folder.path())?;
    work();
    for _ in 0..path.turns {
        counted_turn(&mut *work);
    }
    Ok(())
}

/// The function that callgrind counts, by its name.
#[inline(never)]
fn counted_turn(work: &mut dyn FnMut()) {
    work();
}

/// Compares with the recorded counts. Fails if a path exceeds its tolerance.
pub fn check() -> Result<ExitCode> {
    let Some(counts) = count_all()? else {
        return Ok(ExitCode::SUCCESS);
    };
    let text =
        std::fs::read_to_string(record()).context("there is no record; --write makes one")?;
    let recorded: Counts = serde_json::from_str(&text).context("the record cannot be read")?;
    let mut slower = false;
    for (name, count) in &counts {
        let was = *recorded
            .get(name)
            .with_context(|| format!("{name} is not on record"))?;
        let percent = (*count as f64 / was as f64 - 1.0) * 100.0;
        let tolerance = (was * TOLERANCE_PERCENT / 100).max(TOLERANCE_INSTRUCTIONS);
        let too_many = *count > was + tolerance;
        let says = match (too_many, *count + tolerance < was) {
            (true, _) => "MORE THAN IT MAY",
            (_, true) => "fewer: record it with --write",
            _ => "",
        };
        println!("{name:16} {count:>9} instructions a change, {percent:+.1} % {says}");
        slower |= too_many;
    }
    if slower {
        println!(
            "More than {TOLERANCE_PERCENT} % and {TOLERANCE_INSTRUCTIONS} above {}.",
            record().display()
        );
        println!("If it is worth it: cargo bench --locked --bench hot_paths -- --write");
    }
    Ok(if slower {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Rewrites the recorded counts.
pub fn write() -> Result<ExitCode> {
    let Some(counts) = count_all()? else {
        return Ok(ExitCode::FAILURE);
    };
    std::fs::write(record(), serde_json::to_string_pretty(&counts)? + "\n")?;
    println!("wrote {}", record().display());
    Ok(ExitCode::SUCCESS)
}

/// Returns `None` with a message if the counts would not be comparable on this machine.
fn count_all() -> Result<Option<Counts>> {
    if !is_comparable() {
        println!("NOT CHECKED: the counts on record are those of x86-64 with AVX2.");
        return Ok(None);
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("NOT CHECKED: valgrind is not installed (apt-get install valgrind)");
        return Ok(None);
    }
    let mut counts = Counts::new();
    for path in &PATHS {
        let (own, hashing) = count(path)?;
        counts.insert(path.name.to_owned(), own);
        if hashing > 0 {
            counts.insert(format!("{}, SHA-256", path.name), hashing);
        }
    }
    Ok(Some(counts))
}

#[cfg(target_arch = "x86_64")]
fn is_comparable() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

#[cfg(not(target_arch = "x86_64"))]
fn is_comparable() -> bool {
    false
}

/// Splits the count into SHA-256 and everything else.
fn count(path: &HotPath) -> Result<(u64, u64)> {
    let folder = tempfile::tempdir_in("target")?;
    let file = folder.path().join("callgrind.out");
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*counted_turn*"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(std::env::current_exe()?)
        .args([TURNS, path.name])
        .output()?;
    if !ran.status.success() {
        bail!(
            "{} does not run under callgrind:\n{}",
            path.name,
            String::from_utf8_lossy(&ran.stderr)
        );
    }
    let annotated = Command::new("callgrind_annotate")
        .arg("--threshold=100")
        .arg(&file)
        .output()?;
    let text = String::from_utf8_lossy(&annotated.stdout);
    let sum = |words: &[&str]| {
        let counts = text
            .lines()
            .filter(|line| words.iter().all(|word| line.contains(word)));
        counts.filter_map(instructions).sum::<u64>()
    };
    let (all, hashing) = (sum(&["PROGRAM TOTALS"]), sum(&HASHING));
    if all == 0 {
        bail!("callgrind counted nothing for {}:\n{text}", path.name);
    }
    let changes = path.turns * path.changes;
    Ok(((all - hashing) / changes, hashing / changes))
}

/// Parses a line like `  1,234 (56.78%)  function`.
fn instructions(line: &str) -> Option<u64> {
    line.split_once('(')?.0.trim().replace(',', "").parse().ok()
}
