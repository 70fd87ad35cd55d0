//! Pure crates take time and randomness as arguments.

use super::source::{Source, words};

/// Crates without clock, files and threads.
const PURE_CRATES: &[&str] = &["crates/protocol/", "crates/rules/", "crates/engine/"];

/// The only file that reads system randomness.
const RANDOMNESS: &str = "crates/engine/src/rng.rs";

/// Names that no pure file may contain.
const IMPURE: &[&str] = &[
    "Instant",
    "SystemTime",
    "getrandom",
    "std::fs",
    "std::env",
    "std::thread",
    "tokio",
];

/// Returns uses of clock, randomness or disk in pure crates.
pub fn offences(sources: &[Source]) -> Vec<String> {
    let mut offences = Vec::new();
    for source in sources {
        if !PURE_CRATES.iter().any(|pure| source.path.starts_with(pure))
            || source.path == RANDOMNESS
        {
            continue;
        }
        for name in IMPURE {
            let found = words(&source.code_without_tests, name);
            offences.extend(
                found.map(|_| format!("{}: names `{name}` and should be pure", source.path)),
            );
        }
    }
    offences
}
