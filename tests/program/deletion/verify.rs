//! `graceful-relay verify`: an intact store passes, and every defect is found.
#![cfg(unix)]

use std::fs;
use std::path::PathBuf;

use graceful_protocol::envelope;
use graceful_rules::command::Command;
use graceful_store::{Engine as _, FILE, Store};
use redb::{Database, ReadableTable};
use serde_json::Value;

use super::raw::{self, day, push};
use graceful_testing::fixtures;
use graceful_testing::program::{Home, Relay, lines, pair, write};

/// A relay with changes of the real client in it.
fn with_changes(home: &Home) -> Relay {
    let relay = Relay::start(home);
    relay.create(home, "desk", "Desk");
    pair(home, "desk", "phone", "Phone");
    write(&home.path("changes.jsonl"), &lines(0, 400));
    home.client("desk", &["push", "--jsonl", "changes.jsonl"])
        .success();
    relay
}

fn verify(home: &Home) -> Value {
    home.run(&["verify", "--json", "--data-dir", "relay"])
        .success()
        .json()
        .remove(0)
}

/// The checks that do not hold, after the program has failed for them.
fn wrong(home: &Home) -> Vec<String> {
    let said = home
        .run(&["verify", "--json", "--data-dir", "relay"])
        .failure(&["not hold"]);
    let report = said.json().remove(0);
    assert_eq!(report["holds"], false);
    let checks = report["checks"].as_array().expect("checks").clone();
    let wrong = checks.iter().filter(|check| check["holds"] == false);
    wrong
        .map(|check| check["name"].as_str().expect("a name").to_owned())
        .collect()
}

fn folder(home: &Home) -> PathBuf {
    home.path("relay")
}

#[test]
fn verify_passes_on_running_and_stopped_relay() {
    let home = Home::new();
    home.run(&["verify", "--data-dir", "relay"])
        .failure(&["no relay is running", "--data-dir"]);
    assert!(!folder(&home).exists());
    let mut relay = with_changes(&home);
    let live = verify(&home);
    assert_eq!(
        (&live["holds"], &live["live"]),
        (&true.into(), &true.into()),
        "{live}"
    );
    assert!(
        live["envelopes"].as_u64() >= Some(400) && live["accounts"] == 1,
        "{live}"
    );
    assert_eq!(live["checks"].as_array().map(Vec::len), Some(7));
    assert!(live["entropy_bits"].as_f64() > Some(7.99), "{live}");

    relay.running.kill();
    let mut still = verify(&home);
    assert_eq!(still["live"], false);
    for name in ["live", "at"] {
        still[name] = live[name].clone();
    }
    assert_eq!(still, live, "the same is found");

    let said = home.run(&["verify", "--data-dir", "relay"]).success();
    assert!(
        said.out.lines().all(|line| line.chars().count() <= 80),
        "{}",
        said.out
    );
    assert!(
        said.out.contains("Not proven") && !said.out.contains("WRONG"),
        "{}",
        said.out
    );
}

#[test]
fn verify_finds_plaintext_envelope() {
    let home = Home::new();
    let mut relay = with_changes(&home);
    relay.running.kill();
    let store = Store::open(&folder(&home), raw::options()).expect("opens");
    let (one, _) = raw::pair(&store, store.clock_at_open());
    let text = br#"{"id":"c17","payee":"Corner Bakery Weiss","amount":"17.50 EUR"} "#;
    let mut plain = text
        .iter()
        .copied()
        .cycle()
        .take(envelope::SIZE_MIN)
        .collect::<Vec<_>>();
    plain[0] = envelope::FORM;
    push(&store, one, 1, &plain.into(), store.clock_at_open());
    drop(store);
    // One in 400 does not move the total; it fails the test of single envelopes.
    assert_eq!(wrong(&home), ["each"]);
    let relay = Relay::start(&home);
    assert_eq!(wrong(&home), ["each"], "the running relay says the same");
    drop(relay);
    let said = home
        .run(&["verify", "--data-dir", "relay"])
        .failure(&["1 check does not hold"]);
    assert!(
        said.out.contains("WRONG")
            && said
                .out
                .contains("envelopes do not look random individually"),
        "{}",
        said.out
    );
}

#[test]
fn verify_finds_uniform_data() {
    let home = Home::new();
    let store = Store::open(&folder(&home), raw::options()).expect("opens");
    let (one, _) = raw::pair(&store, day(0));
    for first in [1, 1_001] {
        // Each looks random except for one byte, which is the same in all.
        let envelopes = (first..first + 1_000).map(|number| {
            let mut sealed = raw::sealed(number, 500).to_vec();
            sealed[40] = b'{';
            raw::envelope(number, sealed.into())
        });
        raw::commit(&store, Command::push(one, envelopes), day(0));
    }
    assert_eq!(store.totals().expect("reads").envelopes, 2_000);
    drop(store);
    assert_eq!(wrong(&home), ["all"]);
}

#[test]
fn verify_finds_changed_byte_and_lost_rows() {
    let home = Home::new();
    let store = Store::open(&folder(&home), raw::options()).expect("opens");
    let (one, _) = raw::pair(&store, day(0));
    for number in 1..=3 {
        push(&store, one, number, &raw::sealed(number, 70_000), day(0));
    }
    drop(store);
    assert_eq!(verify(&home)["holds"], true);

    let file = folder(&home).join(FILE);
    let whole = fs::read(&file).expect("reads");
    let row = raw::log_rows(&folder(&home)).remove(1);
    let start = whole
        .windows(row.len())
        .rposition(|window| window == row)
        .expect("there");
    let mut damaged = whole.clone();
    damaged[start] ^= 0x80;
    fs::write(&file, damaged).expect("writes");
    assert_eq!(wrong(&home), ["opens"]);

    for lost in ["index", "log"] {
        fs::write(&file, &whole).expect("writes");
        let database = Database::open(&file).expect("opens");
        let transaction = database.begin_write().expect("begins");
        if lost == "index" {
            let mut index = transaction.open_table(raw::INDEX).expect("opens");
            let key = *index.first().expect("reads").expect("a row").0.value();
            index.remove(&key).expect("removes");
        } else {
            let mut log = transaction.open_table(raw::LOG).expect("opens");
            let key = *log.first().expect("reads").expect("a row").0.value();
            log.remove(&key).expect("removes");
        }
        transaction.commit().expect("commits");
        drop(database);
        let expected: &[&str] = if lost == "index" {
            &["places", "accounts"]
        } else {
            &["places"]
        };
        assert_eq!(wrong(&home), expected, "{lost}");
    }
}

#[test]
fn verify_in_pages_finishes_during_pushes() {
    use graceful_rules::audit::{AuditCounts, ScanRange};
    let store = fixtures::store(raw::options()).expect("opens");
    let (one, two) = raw::pair(&store, day(0));
    for number in 1..=60 {
        push(&store, one, number, &raw::sealed(number, 1_000_000), day(0));
    }
    let (mut counts, mut next, mut parts) = (AuditCounts::default(), Some(ScanRange::FIRST), 0);
    while let Some(range) = next {
        let part = store.audit(&range).expect("reads");
        counts.merge(&part.counts);
        next = part.next;
        parts += 1;
        push(
            &store,
            one,
            60 + parts,
            &raw::sealed(60 + parts, 1_000),
            day(0),
        );
    }
    let nonsense = store
        .audit(&ScanRange::Envelopes {
            from: 50,
            until: Some(3),
        })
        .expect("is answered");
    assert_eq!(nonsense.counts, AuditCounts::default());
    assert!((20..100).contains(&parts), "{parts}");
    assert_eq!((counts.envelopes, counts.accounts), (60, 1));
    assert!(
        counts.checks().iter().all(|check| check.holds),
        "{:?}",
        counts.checks()
    );
    raw::commit(
        &store,
        Command::Ack {
            by: two,
            through: 60,
        },
        day(0),
    );
}
