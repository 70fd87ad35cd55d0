//! Runs what the fuzzer runs, over the committed seeds and what can be made of them by cutting and
//! flipping: a few seconds, on any toolchain. docs/design/fuzzing.md tells of the longer way.
//!
//! `UPDATE_SEEDS=1 cargo test --test protocol corpus` writes the seeds that come from the vectors anew.

mod seeds;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};

use targets::{TARGETS, run};

/// Altered copies made of one seed.
const ALTERED_MAX: usize = 600;

#[test]
fn seeds_match_the_vectors() {
    for (target, name, bytes) in seeds::from_vectors() {
        let path = seeds::folder(target).join(&name);
        if std::env::var_os("UPDATE_SEEDS").is_some() {
            std::fs::create_dir_all(seeds::folder(target)).expect("the folder can be made");
            std::fs::write(&path, &bytes).expect("the seed can be written");
        }
        let kept = std::fs::read(&path).expect("every seed is committed");
        assert!(kept == bytes, "{target}/{name} is not what the vectors say");
    }
}

/// Seeds of which nothing is read would only try the first line of a decoder.
#[test]
fn journal_seeds_decode_to_records() {
    for (name, seed) in seeds::committed("journal_record") {
        assert!(
            graceful_engine::record::Record::from_bytes(&seed).is_some(),
            "{name}"
        );
    }
}

#[test]
fn recovery_seeds_reach_the_end() {
    for (name, seed) in seeds::committed("recovery") {
        assert_eq!(targets::recovers(&seed), name != "altered", "{name}");
    }
}

/// Bytes that always are the same, for where there are no seeds to begin with.
fn noise(round: u64) -> Vec<u8> {
    let mut state = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next)
        .take(16 + (round as usize * 7) % 600)
        .collect()
}

/// Cut short, and with one bit flipped, at places spread over the whole.
fn altered(seed: &[u8]) -> Vec<Vec<u8>> {
    let mut altered = vec![seed.to_vec()];
    let step = (seed.len() / (ALTERED_MAX / 2)).max(1);
    for at in (0..seed.len()).step_by(step) {
        altered.push(seed[..at].to_vec());
        let mut flipped = seed.to_vec();
        flipped[at] ^= 1 << (at / step % 8);
        altered.push(flipped);
    }
    altered
}

fn run_all(target: &str) {
    let seeds = seeds::committed(target);
    assert!(!seeds.is_empty(), "{target} has no seeds");
    let noise = (0..500).map(|round| (format!("noise {round}"), noise(round)));
    for (name, seed) in seeds.into_iter().chain(noise) {
        let inputs = if name.starts_with("noise") {
            vec![seed]
        } else {
            altered(&seed)
        };
        for input in inputs {
            let done = catch_unwind(AssertUnwindSafe(|| run(target, &input)));
            assert!(
                done.is_ok(),
                "{target}, made of {name}: {}",
                data_encoding::HEXLOWER.encode(&input)
            );
        }
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                run_all(stringify!($name));
            }
        )*

        #[test]
        fn every_fuzz_target_has_seeds_and_a_test() {
            let run = [$(stringify!($name)),*];
            assert!(TARGETS.iter().map(|target| target.0).eq(run));
            let fuzzed = |name| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fuzz/targets/{name}.rs"));
            assert!(run.iter().all(|name| fuzzed(name).exists()), "a target is not in fuzz/");
        }
    };
}

targets! {
    account_bundle session device_frame engine exchange_body join_request journal_record membership_log
    operators_question pairing_link recovery recovery_words relay_frame sealed_envelope
}
