//! Devices detect a relay whose files were rolled back or restored. A removed device stays removed
//! either way.

use std::path::Path;

use graceful_testing::program::{Home, Relay, pair};
use serde_json::Value;

/// A relay that was stopped, with a copy of its folder from before what came last.
struct Stopped {
    home: Home,
    address: String,
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("a type").is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
        }
    }
}

impl Stopped {
    /// Desk and phone have seen "before" when the copy is made, and `between` happens after it.
    fn after(between: impl FnOnce(&Home)) -> Self {
        let home = Home::new();
        let mut relay = Relay::start(&home);
        relay.create(&home, "desk", "Desk");
        pair(&home, "desk", "phone", "Phone");
        home.client("desk", &["push", "before"]).success();
        follow(&home, "phone");
        relay.running.kill();
        copy(&home.path("relay"), &home.path("backup"));
        let address = relay.address().to_owned();
        relay = Relay::start_on(&home, &address);
        between(&home);
        relay.running.kill();
        Self { home, address }
    }

    /// The old files are back. Does the operator say so?
    fn go_back(self, restored: bool) -> (Home, Relay) {
        copy(&self.home.path("backup"), &self.home.path("relay"));
        if restored {
            self.home
                .run(&["restore", "--mark-only", "--data-dir", "relay"])
                .success();
        }
        let relay = Relay::start_on(&self.home, &self.address);
        (self.home, relay)
    }
}

fn follow(home: &Home, profile: &str) {
    let copy = format!("{profile}.jsonl");
    home.client(profile, &["pull", "--jsonl", &copy]).success();
}

fn received(home: &Home, profile: &str) -> Vec<String> {
    let text = std::fs::read_to_string(home.path(&format!("{profile}.jsonl"))).expect("a copy");
    let line = |line: &str| {
        serde_json::from_str::<Value>(line).expect("JSON")["text"]
            .as_str()
            .map(str::to_owned)
    };
    text.lines().filter_map(line).collect()
}

fn warnings(home: &Home, profile: &str) -> Vec<Value> {
    let status = home.client(profile, &["status", "--json"]).success().json();
    status[0]["alerts"].as_array().expect("a list").clone()
}

#[test]
fn rolled_back_relay_is_reported() {
    let stopped = Stopped::after(|home| {
        home.client("desk", &["push", "lost"]).success();
        follow(home, "phone");
    });
    let (home, _relay) = stopped.go_back(false);
    for profile in ["desk", "phone"] {
        let found = warnings(&home, profile);
        assert!(
            !found.is_empty() && found.iter().all(|warning| warning["restored"] == false),
            "{found:?}"
        );
        let screen = home.client(profile, &["status"]).success().out;
        assert!(screen.contains("ALERT: the relay"), "{screen}");
        let screen = home.client(profile, &["status", "--dismiss"]).success().out;
        assert!(!screen.contains("ALERT"), "{screen}");
    }
}

#[test]
fn restored_relay_gets_lost_changes_back() {
    let stopped = Stopped::after(|home| {
        home.client("desk", &["push", "lost by the relay"])
            .success();
        home.client("phone", &["push", "lost as well"]).success();
    });
    let (home, relay) = stopped.go_back(true);
    // With nothing to give, it asks the relay what it has, and sends what it lost.
    home.client("desk", &["push"]).success();
    home.client("phone", &["push"]).success();
    for profile in ["desk", "phone"] {
        follow(&home, profile);
        let found = warnings(&home, profile);
        assert!(
            !found.is_empty() && found.iter().all(|warning| warning["restored"] == true),
            "{found:?}"
        );
        let screen = home.client(profile, &["status"]).success().out;
        assert!(
            screen.contains("note: the relay was restored") && !screen.contains("ALERT"),
            "{screen}"
        );
    }
    assert_eq!(received(&home, "phone"), ["before", "lost by the relay"]);
    assert_eq!(received(&home, "desk"), ["lost as well"]);
    relay.wait_until_empty(&home);
}

#[test]
fn restore_does_not_readmit_removed_device() {
    let stopped = Stopped::after(|home| {
        pair(home, "desk", "tablet", "Tablet");
        copy(&home.path("phone"), &home.path("stolen"));
        home.client("desk", &["remove", "phone", "--yes"]).success();
        home.client("desk", &["push", "after the removal"])
            .success();
    });
    let (home, _relay) = stopped.go_back(true);
    // The desk has the longer log, and gives it back; the tablet, which joined meanwhile, is known again.
    home.client("desk", &["push", "and after the restore"])
        .success();
    home.client("stolen", &["push", "I am back"])
        .failure(&["refused"]);
    let said = home.client("stolen", &["pull"]);
    let said = said.failure(&["refused"]);
    assert!(!said.out.contains("after"), "{said:?}");
    home.client("stolen", &["pair", "--yes"])
        .failure(&["refused"]);
    follow(&home, "tablet");
    let received = received(&home, "tablet");
    assert!(
        received.ends_with(&["after the removal".into(), "and after the restore".into()]),
        "{received:?}"
    );
    assert!(!received.contains(&"I am back".to_owned()));
}
