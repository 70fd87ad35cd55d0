//! The whole relay and its devices on one thread under one seed: a disk that crashes inside commits
//! and tears what was not synced, wires that cut, processes that die, a clock that jumps.
//!
//! `SIMULATION_SEEDS=10000 cargo test --release --test simulation` runs more of them;
//! `SIMULATION_FIRST=4711 SIMULATION_SEEDS=1` runs one again, and it happens just as before.

mod invariants;
mod phone;
mod relay;
mod rules;
mod world;

use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use world::{Sabotage, World};

/// Seeds in the ordinary run.
const SEEDS: u64 = 300;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(otherwise)
}

/// Lives through a history and judges it. What breaks an assertion on the way counts as a failure.
fn live(seed: u64, sabotage: Sabotage) -> Result<World, String> {
    let lived = catch_unwind(|| {
        let mut world = World::new(seed, sabotage);
        world.run()?;
        invariants::check(&world)?;
        Ok(world)
    });
    lived.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.unwrap_or_else(|| "an assertion broke".to_owned()))
    })
}

/// How much of what can happen did happen.
#[derive(Debug, Default)]
struct Eventful {
    applied: usize,
    gaps: usize,
    removed: usize,
    joined: usize,
    large: usize,
    unfinished: usize,
    learned: usize,
    cut_kept: u64,
    cut_lost: u64,
    keys_retired: usize,
    folded: usize,
    replayed: usize,
}

impl Eventful {
    fn add(&mut self, world: &World) {
        self.applied += world
            .phones
            .iter()
            .map(|phone| phone.applied.len())
            .sum::<usize>();
        self.gaps += world
            .phones
            .iter()
            .map(|phone| phone.gaps.len())
            .sum::<usize>();
        self.removed += world
            .phones
            .iter()
            .filter(|phone| phone.is_refused())
            .count();
        self.large += world.phones.iter().map(|phone| phone.large).sum::<usize>();
        self.unfinished += world
            .phones
            .iter()
            .map(|phone| phone.unfinished)
            .sum::<usize>();
        self.learned += world.phones.iter().map(only_from_snapshots).sum::<usize>();
        self.joined += world.phones.len() - 1;
        self.cut_kept += world.history.cut_kept;
        self.cut_lost += world.history.cut_lost;
        self.keys_retired += world.history.keys_retired;
        self.folded += world.history.folded;
        self.replayed += world.history.replayed;
    }

    /// A simulation in which nothing happens proves nothing.
    fn check(&self, seeds: u64) {
        let seeds = usize::try_from(seeds).expect("few");
        assert!(self.applied > 20 * seeds && self.joined > seeds, "{self:?}");
        assert!(
            self.gaps > seeds / 20 && self.removed > seeds / 20,
            "{self:?}"
        );
        assert!(self.cut_kept > 0 && self.cut_lost > 0, "{self:?}");
        assert!(
            self.large > seeds && self.learned > seeds && self.unfinished > seeds / 50,
            "{self:?}"
        );
        assert!(self.keys_retired > seeds / 5, "{self:?}");
        assert!(self.folded > seeds && self.replayed > seeds, "{self:?}");
    }
}

/// Changes that a device would lack without snapshots.
fn only_from_snapshots(phone: &phone::Phone) -> usize {
    let applied = phone.applied.iter().map(|(_, name)| name);
    let otherwise = applied
        .chain(&phone.made)
        .collect::<std::collections::BTreeSet<_>>();
    phone
        .learned
        .iter()
        .filter(|name| !otherwise.contains(name))
        .count()
}

#[test]
fn every_simulated_history_converges() {
    let (first, seeds) = (
        number("SIMULATION_FIRST", 0),
        number("SIMULATION_SEEDS", SEEDS),
    );
    let next = AtomicU64::new(first);
    let failures = Mutex::new(Vec::new());
    let eventful = Mutex::new(Eventful::default());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        return;
                    }
                    match live(seed, Sabotage::Honest) {
                        Ok(world) => eventful.lock().expect("not poisoned").add(&world),
                        Err(failure) => {
                            failures
                                .lock()
                                .expect("not poisoned")
                                .push(format!("seed {seed}: {failure}"));
                        }
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("not poisoned");
    assert!(
        failures.is_empty(),
        "{} of {seeds} histories:\n{}",
        failures.len(),
        failures.join("\n")
    );
    if seeds >= SEEDS {
        eventful.into_inner().expect("not poisoned").check(seeds);
    }
}

#[test]
fn same_seed_gives_same_history() {
    for seed in 1_000..1_005 {
        let digest = |seed| live(seed, Sabotage::Honest).map(|world| world.trace);
        assert_eq!(digest(seed), digest(seed));
    }
}

#[test]
fn sabotage_answer_before_commit_is_caught() {
    let caught = (0..20).filter(|seed| live(*seed, Sabotage::AnswerBeforeCommit).is_err());
    assert!(caught.count() > 10, "the simulation must be able to fail");
}

#[test]
fn sabotage_unsynced_journal_is_caught() {
    let caught = (0..20).filter(|seed| live(*seed, Sabotage::JournalNotSynced).is_err());
    assert!(caught.count() > 4, "the simulation must be able to fail");
}

#[test]
fn sabotage_unsynced_store_is_caught() {
    let caught = (0..20).filter(|seed| live(*seed, Sabotage::StoreNotSynced).is_err());
    assert!(caught.count() > 4, "the simulation must be able to fail");
}

#[test]
fn sabotage_unsynced_day_key_is_caught() {
    let caught = (0..20).filter(|seed| live(*seed, Sabotage::KeyNotSynced).is_err());
    assert!(caught.count() > 10, "the simulation must be able to fail");
}
