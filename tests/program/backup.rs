//! Backups of a running relay and their restore, with real processes.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use graceful_testing::devices::{assert_converged, ledger, two_devices};
use graceful_testing::program::{CommandOutput, Home, Relay, pair};
use graceful_testing::relay_process::{Address, RelayProcess};

const REGISTRATION: [(&str, &str); 1] = [("GRACEFUL_RELAY_ACCOUNTS__REGISTRATION", "open")];

/// A relay with an account and an unacknowledged change.
fn house() -> (Home, Relay) {
    let home = Home::new();
    let relay = Relay::start(&home);
    relay.create(&home, "desk", "Desk");
    pair(&home, "desk", "phone", "Phone");
    home.client("desk", &["push", "before"]).success();
    (home, relay)
}

fn backup(home: &Home, to: &str, more: &[&str]) -> CommandOutput {
    home.run(&[&["backup", to, "--data-dir", "relay"], more].concat())
}

fn restore(home: &Home, from: &str) -> CommandOutput {
    home.run(&["restore", from, "--data-dir", "relay"])
}

/// Names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

/// Every file in it, with what it holds.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for name in names(folder) {
        let path = folder.join(name);
        if path.is_dir() {
            all.extend(contents(&path));
        } else if path.is_file() {
            all.push((path.clone(), fs::read(&path).expect("a file")));
        }
    }
    all
}

fn follow(home: &Home, profile: &str) -> Vec<String> {
    let copy = format!("{profile}.jsonl");
    home.client(profile, &["pull", "--jsonl", &copy]).success();
    let text = fs::read_to_string(home.path(&copy)).unwrap_or_default();
    let line =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["text"].clone();
    text.lines()
        .map(|text| line(text).as_str().expect("text").to_owned())
        .collect()
}

fn run(arguments: &[&str]) -> std::process::Output {
    Command::new(graceful_testing::program::path())
        .args(arguments)
        .output()
        .expect("it runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_under_load_restores_every_change_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("relay");
    let file = folder.path().join("one.backup");
    let (data_text, file_text) = (data.display().to_string(), file.display().to_string());
    let address = Address::open().await;
    let relay = RelayProcess::start(&data, &REGISTRATION);
    address.route_to(Some(relay.address));
    let (mut laptop, mut phone) = two_devices(folder.path(), &address.url()).await;

    let ledger = ledger();
    let (first, rest) = ledger.split_at(1_000);
    let (second, third) = rest.split_at(2_000);
    laptop.push(first).await;
    phone.more_than(0, 1).await;
    let arguments = [file_text.clone(), data_text.clone()];
    let backing_up = tokio::task::spawn_blocking(move || {
        run(&[
            "backup",
            &arguments[0],
            "--json",
            "--data-dir",
            &arguments[1],
        ])
    });
    // While it is made, both push, in many pieces.
    for (number, piece) in second.chunks(50).enumerate() {
        if number % 2 == 0 {
            laptop.push(piece).await
        } else {
            phone.push(piece).await
        }
        tokio::task::yield_now().await;
    }
    let made = backing_up.await.expect("no panic");
    assert!(made.status.success(), "{made:?}");
    phone.push(third).await;
    laptop.more_than(0, third.len() / 2).await;
    address.route_to(None);
    relay.stop();

    let restored = run(&["restore", &file_text, "--data-dir", &data_text]);
    assert!(restored.status.success(), "{restored:?}");
    let relay = RelayProcess::start(&data, &REGISTRATION);
    address.route_to(Some(relay.address));
    let (mut from_laptop, mut from_phone) = (first.to_vec(), Vec::new());
    for (number, piece) in second.chunks(50).enumerate() {
        if number % 2 == 0 {
            &mut from_laptop
        } else {
            &mut from_phone
        }
        .extend_from_slice(piece);
    }
    from_phone.extend_from_slice(third);
    assert_converged(laptop, phone, &from_laptop, &from_phone).await;
    relay.stop();
}

#[test]
fn restore_is_reported_and_keeps_replaced_files() {
    let (home, mut relay) = house();
    let said = backup(&home, "one.backup", &[]).success();
    assert!(said.out.contains("with 1 account and "), "{said:?}");
    let mode = fs::metadata(home.path("one.backup"))
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    home.client("desk", &["push", "after"]).success();
    backup(&home, "one.backup", &[]).failure(&["exists"]);
    restore(&home, "one.backup").failure(&["a relay is running", "stop it"]);
    let address = relay.address().to_owned();
    let ledger = fs::read(home.path("relay/sla/ledger.jsonl")).expect("a record");
    relay.running.kill();
    // What a crash left of the socket is no relay.
    let said = restore(&home, "one.backup").success();
    assert!(said.out.contains("Next: start the relay"), "{said:?}");
    let aside: Vec<_> = names(&home.path("relay"))
        .into_iter()
        .filter(|name| name.starts_with("before-"))
        .collect();
    assert!(aside.len() == 1 && said.out.contains(&aside[0]), "{said:?}");
    let kept = names(&home.path("relay").join(&aside[0]));
    assert_eq!(kept, ["day-keys", "journal-0", "journal-1", "relay.redb"]);
    assert_eq!(
        fs::read(home.path("relay/sla/ledger.jsonl")).expect("a record"),
        ledger
    );
    let _relay = Relay::start_on(&home, &address);
    home.client("desk", &["push"]).success();
    assert_eq!(follow(&home, "phone"), ["before", "after"]);
    for profile in ["desk", "phone"] {
        let status = home.client(profile, &["status"]).success().out;
        assert!(
            status.contains("note: the relay was restored") && !status.contains("ALERT"),
            "{status}"
        );
    }
}

#[test]
fn backup_of_stopped_relay_creates_its_folder() {
    let (home, mut relay) = house();
    let address = relay.address().to_owned();
    relay.running.kill();
    backup(&home, "relay/inside.backup", &[]).failure(&["must be outside the data directory"]);
    backup(&home, "one.backup", &["--keep", "3"]).failure(&["--keep needs a directory"]);
    backup(&home, "nowhere/", &[]).failure(&["no directory"]);
    let said = backup(&home, "one.backup", &["--json"]).success().json();
    assert_eq!(said[0]["accounts"], 1);
    assert!(said[0]["envelopes"].as_u64() >= Some(1), "{said:?}");
    let note = fs::read(home.path("relay/last-backup")).expect("a note");
    let note: serde_json::Value = serde_json::from_slice(&note).expect("JSON");
    assert_eq!(
        note["bytes"],
        fs::metadata(home.path("one.backup")).expect("there").len()
    );
    fs::remove_dir_all(home.path("relay")).expect("removed");
    restore(&home, "one.backup").success();
    assert_eq!(
        names(&home.path("relay")),
        ["day-keys", "last-backup", "relay.redb", "sla"]
    );
    let _relay = Relay::start_on(&home, &address);
    assert_eq!(follow(&home, "phone"), ["before"]);
}

#[test]
fn damaged_backup_restores_nothing() {
    let (home, mut relay) = house();
    backup(&home, "one.backup", &[]).success();
    relay.running.kill();
    let before = contents(&home.path("relay"));
    let good = fs::read(home.path("one.backup")).expect("a file");
    let try_with = |bytes: &[u8], words: &[&str]| {
        fs::write(home.path("bad.backup"), bytes).expect("writes");
        restore(&home, "bad.backup").failure(words);
        assert!(contents(&home.path("relay")) == before, "something changed");
    };
    for length in [513, 2_000, good.len() / 2, good.len() - 1] {
        try_with(&good[..length], &["damaged or incomplete"]);
    }
    for length in [0, 511] {
        try_with(&good[..length], &["is not a backup"]);
    }
    // Behind the name in the first header, in the list, in the store, at its very end.
    for at in [
        110,
        600,
        5_000,
        good.len() / 2,
        good.len() - 2_000,
        good.len() - 1,
    ] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        try_with(&bad, &["damaged"]);
    }
    try_with(&[&good[..], &[0]].concat(), &["damaged"]);
    try_with(&before[1].1, &["is not a backup"]);
    let newer =
        String::from_utf8_lossy(&good[512..1_024]).replace("\"format\": 1", "\"format\": 7");
    let newer = [&good[..512], newer.as_bytes(), &good[1_024..]].concat();
    try_with(&newer, &["newer version of the relay (0.1.0)"]);
    restore(&home, "nowhere.backup").failure(&["cannot read nowhere.backup"]);
    assert!(contents(&home.path("relay")) == before);
    // The same on a folder that is not there: it is not made.
    fs::write(home.path("bad.backup"), &good[..2_000]).expect("writes");
    home.run(&["restore", "bad.backup", "--data-dir", "new"])
        .failure(&["damaged"]);
    assert!(!home.path("new").exists());
}

/// As a kill leaves it: so many files were moved aside, so many new ones in, the store last.
fn cut_off(relay: &Path, aside: usize, moved_in: usize) {
    let old = relay.join("before-restore-2026-11-25T000000Z");
    fs::create_dir_all(&old).expect("a folder");
    for name in ["relay.redb", "journal-0", "journal-1", "day-keys"]
        .iter()
        .take(aside)
    {
        fs::rename(relay.join(name), old.join(name)).expect("moved");
    }
    let fresh = relay.join("restoring");
    for name in ["day-keys", "relay.redb"].iter().take(moved_in) {
        fs::rename(fresh.join(name), relay.join(name)).expect("moved");
    }
}

#[test]
fn killed_restore_completes_on_retry() {
    // Nothing moved; the store alone aside; all aside; and some of the new ones in.
    for (aside, moved_in) in [(0, 0), (1, 0), (2, 0), (4, 0), (4, 1), (4, 2)] {
        let (home, mut relay) = house();
        let address = relay.address().to_owned();
        backup(&home, "one.backup", &[]).success();
        relay.running.kill();
        home.run(&["restore", "one.backup", "--data-dir", "spare"])
            .success();
        let fresh = home.path("relay/restoring");
        fs::create_dir(&fresh).expect("a folder");
        for name in ["day-keys", "relay.redb"] {
            fs::copy(home.path("spare").join(name), fresh.join(name)).expect("unpacked");
        }
        cut_off(&home.path("relay"), aside, moved_in);
        let is_whole = aside == 0 || moved_in == 2;
        if !is_whole {
            // Neither the old store nor the new one: no empty relay comes of it.
            let serve = ["serve", "--listen", "127.0.0.1:0", "--data-dir", "relay"];
            home.run(&serve)
                .failure(&["was cut off", "graceful-relay restore"]);
            restore(&home, "one.backup").success();
            assert!(!fresh.exists());
        }
        let _relay = Relay::start_on(&home, &address);
        assert_eq!(
            follow(&home, "phone"),
            ["before"],
            "{aside} aside, {moved_in} in"
        );
    }
}

#[test]
fn backup_keep_removes_older_own_backups_only() {
    let (home, _relay) = house();
    fs::create_dir(home.path("backups")).expect("a folder");
    let at = |name: &str| home.path("backups").join(name);
    backup(&home, "backups", &[]).success();
    let first = names(&home.path("backups"));
    assert_eq!(first.len(), 1);
    let older = [
        "graceful-relay-2020-01-01T0000Z.backup",
        "graceful-relay-2021-01-01T000000Z.backup",
    ];
    for name in older {
        fs::copy(at(&first[0]), at(name)).expect("copied");
    }
    // Of another relay, of no relay, and with names of their own.
    let other = Home::new();
    let _other = Relay::start(&other);
    other
        .run(&["backup", "other.backup", "--data-dir", "relay"])
        .success();
    fs::copy(
        other.path("other.backup"),
        at("graceful-relay-2019-01-01T0000Z.backup"),
    )
    .expect("copied");
    fs::write(at("graceful-relay-2018-01-01T0000Z.backup"), "mine").expect("writes");
    fs::copy(at(&first[0]), at("graceful-relay-before-the-move.backup")).expect("copied");
    fs::copy(
        at(&first[0]),
        at("graceful-relay-2017-01-01T0000Z.backup.old"),
    )
    .expect("copied");
    fs::create_dir(at("graceful-relay-2016-01-01T0000Z.backup")).expect("a folder");
    // What a backup that was killed left, and what another one that is being made has.
    let [stale, busy] = [
        "graceful-relay-backup-0011223344556677",
        "graceful-relay-backup-8899aabbccddeeff",
    ];
    for name in [stale, busy] {
        fs::create_dir(at(name)).expect("a folder");
        fs::write(at(name).join("lock"), "").expect("writes");
    }
    let lock = fs::File::open(at(busy).join("lock")).expect("there");
    lock.try_lock().expect("locked");

    let before = names(&home.path("backups"));
    let said = backup(&home, "backups/", &["--keep", "2", "--json"])
        .success()
        .json()
        .remove(0);
    assert_eq!(said["removed"].as_array().map(Vec::len), Some(2), "{said}");
    let now = names(&home.path("backups"));
    let gone: Vec<_> = before.iter().filter(|name| !now.contains(name)).collect();
    assert_eq!(gone, [older[0], older[1], stale]);
    let new: Vec<_> = now.iter().filter(|name| !before.contains(name)).collect();
    assert_eq!(new.len(), 1, "{now:?}");
    assert_eq!(
        Path::new(said["file"].as_str().expect("a name")),
        at(new[0]).canonicalize().expect("there")
    );
}

#[test]
fn status_shows_last_backup() {
    let (home, _relay) = house();
    let status = || {
        home.run(&["status", "--json", "--data-dir", "relay"])
            .success()
            .json()
            .remove(0)
    };
    assert_eq!(status()["warnings"][0]["name"], "backup");
    assert!(
        status()["warnings"][0]["next"]
            .as_str()
            .is_some_and(|next| next.contains("graceful-relay backup"))
    );
    backup(&home, "one.backup", &[]).success();
    let now = status();
    assert!(
        now["warnings"].as_array().is_some_and(Vec::is_empty),
        "{now}"
    );
    assert_eq!(
        now["last_backup"]["bytes"],
        fs::metadata(home.path("one.backup")).expect("there").len()
    );
    assert!(
        now["last_backup_s"]
            .as_i64()
            .is_some_and(|age_s| (0..600).contains(&age_s)),
        "{now}"
    );
    let screen = home.run(&["status", "--data-dir", "relay"]).success().out;
    assert!(screen.contains("one.backup"), "{screen}");
}
