//! The whole relay and its devices on one thread under one seed: a disk that crashes inside commits
//! and tears what was not synced, wires that cut, processes that die, a clock that jumps.
//!
//! `SIMULATION_SEEDS=10000 cargo test --release --test simulation` runs more of them;
//! `SIMULATION_FIRST=4711 SIMULATION_SEEDS=1` runs one again, and it happens just as before.

mod chance;
mod disk;
mod phone;
mod relay;
mod verdict;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use world::{Sabotage, World};

/// Seeds in the ordinary run.
const SEEDS: u64 = 300;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Lives through a history and judges it. Returns its digest.
fn live(seed: u64, sabotage: Sabotage) -> Result<u64, String> {
    let mut world = World::new(seed, sabotage);
    world.run()?;
    verdict::judge(&world)?;
    Ok(world.trace)
}

#[test]
fn every_history_ends_well() {
    let (first, seeds) = (number("SIMULATION_FIRST", 0), number("SIMULATION_SEEDS", SEEDS));
    let next = AtomicU64::new(first);
    let failures = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        return;
                    }
                    if let Err(failure) = live(seed, Sabotage::Honest) {
                        failures.lock().expect("not poisoned").push(format!("seed {seed}: {failure}"));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("not poisoned");
    assert!(failures.is_empty(), "{} of {seeds} histories:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in 1_000..1_005 {
        assert_eq!(live(seed, Sabotage::Honest), live(seed, Sabotage::Honest));
    }
}

#[test]
fn a_relay_that_answers_before_its_commit_is_caught() {
    let caught = (0..20).filter(|seed| {
        std::panic::catch_unwind(|| live(*seed, Sabotage::AnswerBeforeCommit))
            .map_or(true, |end| end.is_err())
    });
    assert!(caught.count() > 10, "the simulation must be able to fail");
}
