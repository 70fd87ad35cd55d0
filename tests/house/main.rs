//! The house keeps its order: each room uses only those above it, each dependency has its rooms,
//! the pure rooms have no clock and no chance, and nothing grows past what can be read at once.
//!
//! Each rule is also fed a made-up offender, so that it is known to be able to fail.

mod promises;
mod rooms;
mod secrets;
mod shape;
mod source;

use rooms::{CRATES, ROOMS};
use source::Source;

fn root() -> &'static std::path::Path {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of the crate. Fails if they are not there: a walk that finds nothing proves nothing.
fn house() -> Vec<Source> {
    let sources = source::walk(&root().join("src"));
    assert!(
        sources.len() >= 60,
        "only {} source files found",
        sources.len()
    );
    sources
}

/// One made-up file.
fn file(path: &str, text: &str) -> Vec<Source> {
    vec![Source::new(path, text)]
}

fn assert_none(offences: &[String]) {
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

#[test]
fn every_room_is_on_the_list_and_there() {
    let sources = house();
    let library = std::fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs is there");
    let declared: Vec<_> = library
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    for room in &declared {
        assert!(
            ROOMS.iter().any(|known| known.name == *room),
            "room `{room}` is not in tests/house/rooms.rs"
        );
        assert!(
            sources.iter().any(|source| source.room() == *room),
            "no file found in room `{room}`"
        );
    }
    for room in ["protocol", "rules", "store", "relay", "client"] {
        assert!(declared.contains(&room), "room `{room}` is missing");
    }
    for source in &sources {
        let room = source.room();
        let known = declared.contains(&room) || ["lib", "main"].contains(&room);
        assert!(
            known,
            "{}: stands in no room that src/lib.rs declares",
            source.path
        );
    }
}

#[test]
fn a_room_uses_only_those_above_it() {
    assert_none(&rooms::offences_against_order(&house()));
}

#[test]
fn a_room_that_looks_down_is_seen() {
    let seen = |path: &str, text: &str| rooms::offences_against_order(&file(path, text)).len();
    assert_eq!(seen("rules/push.rs", "use crate::store::Store;"), 1);
    assert_eq!(
        seen("rules/push.rs", "use crate::{protocol::Code, relay};"),
        1
    );
    assert_eq!(
        seen(
            "rules/push.rs",
            "use crate::{\n    protocol::{Code, wire::{A, B}},\n    http,\n};"
        ),
        1
    );
    assert_eq!(
        seen("rules/push.rs", "fn f() { super::super::store::open() }"),
        1
    );
    assert_eq!(
        seen(
            "rules/deep/push.rs",
            "use super::super::super::{store::Store, relay::Relay};"
        ),
        2
    );
    assert_eq!(seen("client/seal.rs", "use crate::rules::Account;"), 1);
    assert_eq!(seen("store/mod.rs", "use super::client;"), 1);
    assert_eq!(
        seen("main.rs", "fn main() { graceful_relay::store::open() }"),
        1
    );
    assert_eq!(
        seen("relay/a.rs", "use crate::store::Store;\nuse crate::rules;"),
        0
    );
    assert_eq!(
        seen("rules/deep/push.rs", "use super::super::store::Store;"),
        0,
        "rules::store is not the store"
    );
    assert_eq!(
        seen(
            "rules/push.rs",
            "// crate::store decides\nconst A: &str = \"crate::store\";"
        ),
        0
    );
}

#[test]
fn each_dependency_is_named_in_its_rooms_only() {
    assert_none(&rooms::offences_against_crates(&house()));
}

#[test]
fn a_dependency_in_a_wrong_room_is_seen() {
    let seen = |path: &str, text: &str| rooms::offences_against_crates(&file(path, text)).len();
    assert_eq!(seen("relay/a.rs", "use redb::Database;"), 1);
    assert_eq!(
        seen("store/a.rs", "fn f() { aes_gcm::seal(); ::hpke::seal() }"),
        2
    );
    assert_eq!(seen("relay/a.rs", "use tokio_tungstenite as ws;"), 1);
    assert_eq!(
        seen("store/a.rs", "use redb::Database; use crate::redb::x;"),
        0
    );
}

#[test]
fn every_dependency_has_its_place_on_the_list() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml is there");
    let offences = rooms::offences_in_manifest(&manifest);
    assert_none(&offences);
    assert_eq!(
        rooms::offences_in_manifest("[dependencies]\nnewcomer = \"1\"\n").len(),
        CRATES.len() + 1
    );
}

#[test]
fn the_pure_rooms_have_no_clock_no_chance_and_no_disk() {
    assert_none(&rooms::offences_against_purity(&house()));
}

#[test]
fn an_impure_decision_is_seen() {
    let seen = |path: &str, text: &str| rooms::offences_against_purity(&file(path, text)).len();
    assert_eq!(
        seen(
            "rules/expiry.rs",
            "fn f() { let now = std::time::Instant::now(); }"
        ),
        1
    );
    assert_eq!(
        seen(
            "protocol/id.rs",
            "fn f() { getrandom::fill(&mut [0]); SystemTime::now(); }"
        ),
        2
    );
    assert_eq!(
        seen(
            "client/engine/mod.rs",
            "fn f() { std::fs::read(path); OsChance.fill(&mut bytes) }"
        ),
        2
    );
    assert_eq!(
        seen("client/journal.rs", "fn f() { std::fs::read(path) }"),
        0
    );
    assert_eq!(
        seen(
            "rules/expiry.rs",
            "#[cfg(test)]\nmod tests { fn f() { Instant::now(); } }"
        ),
        0
    );
}

#[test]
fn nothing_is_too_long_to_read_at_once() {
    assert_none(&shape::offences(&house()));
}

#[test]
fn what_is_too_long_is_seen() {
    let lines = |count: usize| "    work();\n".repeat(count);
    let seen = |text: &str| shape::offences(&file("rules/a.rs", text)).len();
    let function = |body: usize| format!("fn f(a: [u8; 3]) -> u8 {{\n{}}}\n", lines(body));
    assert_eq!(seen(&function(shape::FUNCTION_LINES_MAX - 2)), 0);
    assert_eq!(seen(&function(shape::FUNCTION_LINES_MAX - 1)), 1);
    assert_eq!(
        seen(&format!(
            "impl A {{\nasync fn f<T>()\nwhere T: B,\n{{\nif a {{\n{}}}\n}}\n}}\n",
            lines(117)
        )),
        1
    );
    assert_eq!(seen(&"const A: u8 = 1;\n".repeat(shape::FILE_LINES_MAX)), 0);
    assert_eq!(
        seen(&"const A: u8 = 1;\n".repeat(shape::FILE_LINES_MAX + 1)),
        1
    );
    assert_eq!(
        seen(&format!(
            "#[cfg(test)]\nmod tests {{\n{}}}\n",
            function(500)
        )),
        0
    );
}

#[test]
fn unsafe_code_is_denied_and_nowhere_allowed() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml is there");
    assert!(
        manifest.contains("unsafe_code = \"deny\"")
            || manifest.contains("unsafe_code = \"forbid\"")
    );
    assert_none(&shape::offences_of_unsafe(&house()));
    assert_eq!(
        shape::offences_of_unsafe(&file(
            "a.rs",
            "#![allow(unsafe_code)]\nfn f() { unsafe { g() } }"
        ))
        .len(),
        2
    );
    assert!(shape::offences_of_unsafe(&file("a.rs", "// unsafe\nfn f() { safe() }")).is_empty());
}

#[test]
fn no_derived_debug_shows_a_secret() {
    assert_none(&secrets::offences(&house()));
}

#[test]
fn a_secret_in_a_derived_debug_is_seen() {
    let seen = |text: &str| secrets::offences(&file("client/a.rs", text)).len();
    assert_eq!(
        seen("#[derive(Debug)]\nstruct A {\n    signing_seed: [u8; 32],\n    name: String,\n}"),
        1
    );
    assert_eq!(
        seen("#[derive(Clone, Debug)]\n#[serde(x)]\npub struct A { pub invite: Option<String> }"),
        1
    );
    assert_eq!(
        seen("#[derive(Debug)]\nenum A {\n    Invite(String),\n    Other(u64),\n}"),
        1
    );
    assert_eq!(
        seen("#[derive(Debug)]\nstruct Secret(Zeroizing<Vec<u8>>);"),
        1
    );
    assert_eq!(
        seen(
            "#[derive(Debug)]\nstruct A {\n    secrets: Vec<EpochSecret>,\n    link: PairingLink,\n}"
        ),
        0
    );
    assert_eq!(
        seen("#[derive(Clone)]\nstruct A {\n    secret: [u8; 32],\n}"),
        0
    );
    assert_eq!(
        seen("#[derive(Debug)]\nstruct A;\nstruct B {\n    secret: String,\n}"),
        0
    );
}

#[test]
fn every_promise_has_the_test_that_it_names() {
    let sources = [house(), source::walk(&root().join("tests"))].concat();
    for path in promises::PAGES {
        let page = std::fs::read_to_string(root().join(path)).expect("the page is there");
        let named = promises::named(&page);
        assert!(named.len() >= 15, "{path} names only {named:?}");
        assert_none(&promises::offences(path, &named, &sources));
    }
    let named = promises::named("`read_me`, `no_such_test`, `it_is_there`");
    assert_eq!(named, ["no_such_test", "it_is_there"]);
    let made_up = file("a.rs", "fn it_is_there() {} // fn no_such_test() {}");
    assert_eq!(promises::offences("a.md", &named, &made_up).len(), 1);
}

#[test]
fn each_room_says_what_it_is() {
    let sources = house();
    let doors = sources
        .iter()
        .filter(|source| source.path.ends_with("mod.rs"));
    let silent: Vec<_> = doors
        .filter(|door| !door.text.starts_with("//! "))
        .map(|door| door.path.clone())
        .collect();
    assert_none(&silent);
}
