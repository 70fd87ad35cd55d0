//! One function per input from strangers. Each accepts any bytes and panics only on a bug. The
//! fuzzer (`fuzz/`) and the corpus test share them.

#![allow(dead_code)]

mod engine;
mod frames;
mod local;
mod log;
mod pairing;
mod recovery;
mod script;
mod sealed;
mod session;

pub use recovery::recovers;

/// Its name, which is also that of its folder of seeds.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("account_bundle", pairing::account_bundle),
    ("session", session::session),
    ("device_frame", frames::device_frame),
    ("engine", engine::engine),
    ("exchange_body", frames::exchange_body),
    ("join_request", pairing::join_request),
    ("journal_record", local::journal_record),
    ("membership_log", log::membership_log),
    ("operators_question", local::operators_question),
    ("pairing_link", pairing::pairing_link),
    ("recovery", recovery::recovery),
    ("recovery_words", recovery::recovery_words),
    ("relay_frame", frames::relay_frame),
    ("sealed_envelope", sealed::sealed_envelope),
];

/// Runs the target of this name.
///
/// # Panics
/// If there is none, or where the library is wrong.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS
        .iter()
        .find(|target| target.0 == name)
        .expect("the target is on the list");
    target.1(data);
}
