//! Compaction by the operator's command.

use std::fs;
use std::path::Path;

use graceful_rules::command::Command;
use graceful_store::{self, Engine as _, FILE, JOURNALS, Store};

use super::raw::{self, day, payloads, push, sealed};
use graceful_testing::program::{Home, Relay};

const COMPACTING: &str = "relay.redb.compacting";

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("reads");
    let mut names = entries
        .map(|one| one.expect("reads").file_name().into_string().expect("text"))
        .collect::<Vec<_>>();
    names.sort();
    names
}

#[test]
fn compaction_keeps_live_rows_and_shrinks_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path(), raw::options()).expect("opens");
    let identity = store.identity();
    let (one, two) = raw::pair(&store, day(0));
    for number in 1..=200 {
        push(&store, one, number, &sealed(number, 50_000), day(0));
    }
    // What goes before it is folded in never gets into the file.
    store.flush_all().expect("folds");
    raw::commit(
        &store,
        Command::Ack {
            by: two,
            through: 195,
        },
        day(0),
    );
    drop(store);
    let mut heard = Vec::new();
    let compacted = graceful_store::compact(folder.path(), raw::options(), &mut |done, rows| {
        heard.push((done, rows))
    })
    .expect("compacts");
    assert!(
        compacted.bytes_after * 5 < compacted.bytes_before,
        "{compacted:?}"
    );
    assert_eq!(
        fs::metadata(folder.path().join(FILE)).expect("there").len(),
        compacted.bytes_after
    );
    assert_eq!(heard.last(), Some(&(compacted.rows, compacted.rows)));
    assert_eq!(
        names(folder.path()),
        ["day-keys", JOURNALS[0], JOURNALS[1], FILE]
    );
    let store = Store::open(folder.path(), raw::options()).expect("opens");
    assert_eq!(store.identity(), identity);
    let kept = (196..=200)
        .map(|number| sealed(number, 50_000))
        .collect::<Vec<_>>();
    assert_eq!(payloads(&store, two, day(0)).expect("reads"), kept);
    push(&store, one, 201, &sealed(201, 50_000), day(0));
}

#[test]
fn interrupted_compaction_is_cleaned_up() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join(COMPACTING), b"half").expect("writes");
    drop(Store::open(folder.path(), raw::options()).expect("the folder is still one of a relay"));
    assert_eq!(
        names(folder.path()),
        ["day-keys", JOURNALS[0], JOURNALS[1], FILE]
    );
    fs::write(folder.path().join(COMPACTING), b"half").expect("writes");
    graceful_store::compact(folder.path(), raw::options(), &mut |_, _| {}).expect("compacts");
    assert_eq!(
        names(folder.path()),
        ["day-keys", JOURNALS[0], JOURNALS[1], FILE]
    );
}

#[cfg(unix)]
#[test]
fn compact_refuses_while_relay_runs() {
    let home = Home::new();
    home.run(&["compact", "--data-dir", "relay"])
        .failure(&["no store in", "--data-dir"]);
    assert!(!home.path("relay").exists());
    let mut relay = Relay::start(&home);
    relay.create(&home, "desk", "Desk");
    home.run(&["compact", "--data-dir", "relay"])
        .failure(&["is running", "stop it"]);
    // A temporary file found while the relay runs may belong to another compaction.
    relay.running.kill();
    fs::write(home.path("relay").join(COMPACTING), b"half").expect("writes");
    let said = home.run(&["compact", "--data-dir", "relay"]).success();
    assert!(
        said.out.starts_with("Compacted from ") && said.out.contains(" rows"),
        "{said:?}"
    );
    let said = home
        .run(&["compact", "--json", "--data-dir", "relay"])
        .success()
        .json();
    assert!(
        said[0]["bytes_after"].as_u64() > Some(0) && said[0]["rows"].as_u64() > Some(0),
        "{said:?}"
    );
    let relay = Relay::start(&home);
    relay.wait_until_empty(&home);
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(home.path("relay").join(FILE))
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}
