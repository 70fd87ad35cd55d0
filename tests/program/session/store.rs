//! Data directories that a relay must refuse, and the errors.

use std::fs;
use std::path::Path;

use graceful_rules::command::{Command, Member, Outcome};
use graceful_rules::membership::Registration;
use graceful_rules::{AccountNumber, DeviceIndex, RelayTime};
use graceful_store::{Engine as _, FILE, JOURNALS, KEYS, Options, Store, StoreError};
use redb::{Database, TableDefinition};

use graceful_testing::fixtures;

const META: TableDefinition<&[u8], &[u8]> = TableDefinition::new("meta");

fn refusal(folder: &Path) -> (StoreError, String) {
    let error = Store::open(folder, Options::default())
        .err()
        .expect("refused");
    let text = error.to_string();
    assert!(
        text.contains(folder.to_str().expect("text")),
        "names the place: {text}"
    );
    assert!(text.contains(';'), "says what to do: {text}");
    (error, text)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn data_dir_with_foreign_files_is_refused() {
    let folder = folder();
    fs::write(folder.path().join("holiday.jpg"), b"a picture").expect("writes");
    let (error, text) = refusal(folder.path());
    assert!(
        matches!(error, StoreError::Foreign { .. }) && text.contains("holiday.jpg"),
        "{text}"
    );
    assert_eq!(
        fs::read_dir(folder.path()).expect("reads").count(),
        1,
        "nothing was added"
    );
}

#[test]
fn foreign_file_is_left_untouched() {
    let folder = folder();
    let file = folder.path().join(FILE);
    for bytes in [b"".as_slice(), b"not a store", &[0; 10_000]] {
        fs::write(&file, bytes).expect("writes");
        if bytes.is_empty() {
            // An empty file is what a crash in the very first moment leaves.
            drop(Store::open(folder.path(), Options::default()).expect("starts anew"));
            continue;
        }
        let (error, _) = refusal(folder.path());
        assert!(matches!(error, StoreError::NotAStore { .. }), "{error:?}");
        assert_eq!(fs::read(&file).expect("reads"), bytes);
    }
}

#[test]
fn foreign_database_is_refused() {
    const OTHER: TableDefinition<u64, u64> = TableDefinition::new("songs");
    let folder = folder();
    let database = Database::create(folder.path().join(FILE)).expect("creates");
    let transaction = database.begin_write().expect("begins");
    transaction
        .open_table(OTHER)
        .expect("opens")
        .insert(1, 2)
        .expect("inserts");
    transaction.commit().expect("commits");
    drop(database);
    let (error, text) = refusal(folder.path());
    assert!(
        matches!(error, StoreError::NotAStore { .. }) && text.contains("tables"),
        "{text}"
    );
}

#[test]
fn store_of_newer_version_is_refused() {
    let folder = folder();
    drop(Store::open(folder.path(), Options::default()).expect("a store"));
    let file = folder.path().join(FILE);
    let database = Database::create(&file).expect("opens");
    let transaction = database.begin_write().expect("begins");
    {
        let mut meta = transaction.open_table(META).expect("opens");
        meta.insert(
            b"schema_version".as_slice(),
            99_u32.to_be_bytes().as_slice(),
        )
        .expect("inserts");
    }
    transaction.commit().expect("commits");
    drop(database);
    let before = fs::read(&file).expect("reads");
    let (error, text) = refusal(folder.path());
    assert!(
        matches!(error, StoreError::Newer { found: 99, .. }) && text.contains("99"),
        "{text}"
    );
    assert!(
        fs::read(&file).expect("reads") == before,
        "nothing was changed"
    );
}

#[test]
fn locked_store_is_not_opened_twice() {
    let folder = folder();
    let _store = Store::open(folder.path(), Options::default()).expect("a store");
    let (error, text) = refusal(folder.path());
    assert!(
        matches!(error, StoreError::InUse { .. }) && text.contains("another process"),
        "{text}"
    );
}

#[test]
fn data_dir_that_cannot_be_created_is_an_error() {
    let folder = folder();
    fs::write(folder.path().join("file"), b"").expect("writes");
    let (error, _) = refusal(&folder.path().join("file").join("below"));
    assert!(matches!(error, StoreError::DataDir { .. }), "{error:?}");
}

#[cfg(unix)]
#[test]
fn new_data_dir_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let data = folder.path().join("new").join("data");
    drop(Store::open(&data, Options::default()).expect("a store"));
    let mode = fs::metadata(&data).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let mode = fs::metadata(data.join(FILE))
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn store_older_than_its_journal_is_refused() {
    let folder = folder();
    let store = Store::open(folder.path(), Options::default()).expect("a store");
    let mark = || {
        store
            .commit(&[Command::SaveClock], RelayTime::from_ms(5))
            .expect("commits")
    };
    mark();
    let old = fs::read(folder.path().join(FILE)).expect("reads");
    // The record that the old file lacks is written over by the second turn.
    for _ in 0..2 {
        store.flush_all().expect("folds");
        mark();
    }
    let left = tempfile::tempdir().expect("a folder");
    for name in [FILE, KEYS, JOURNALS[0], JOURNALS[1]] {
        fs::copy(folder.path().join(name), left.path().join(name)).expect("copied");
    }
    drop(Store::open(left.path(), Options::default()).expect("as a killed process leaves it"));
    for name in JOURNALS {
        fs::copy(folder.path().join(name), left.path().join(name)).expect("copied");
    }
    fs::write(left.path().join(FILE), &old).expect("writes");
    let (error, text) = refusal(left.path());
    assert!(
        matches!(error, StoreError::OtherJournal { .. }) && text.contains("journal-0"),
        "{text}"
    );
    for name in JOURNALS {
        fs::rename(
            left.path().join(name),
            left.path().join(format!("{name}.away")),
        )
        .expect("moves");
    }
    drop(Store::open(left.path(), Options::default()).expect("as the message says"));
}

/// A store's files as they are now, in another folder: what a killed process leaves.
fn left_by(folder: &Path, names: &[&str]) -> tempfile::TempDir {
    let left = tempfile::tempdir().expect("a folder");
    for name in names {
        fs::copy(folder.join(name), left.path().join(name)).expect("copied");
    }
    left
}

#[test]
fn large_commit_bypasses_journal() {
    let folder = folder();
    let options = Options {
        registration: Registration::Open,
        ..Options::default()
    };
    let store = Store::open(folder.path(), options).expect("a store");
    let commit = |change| {
        store
            .commit(&[change], RelayTime::from_ms(5))
            .expect("commits")
            .outcomes
            .remove(0)
    };
    let by = Member {
        account: AccountNumber(1),
        device: DeviceIndex(0),
    };
    commit(Command::CreateAccount {
        entry: fixtures::genesis(1),
        by: fixtures::device_key(1),
        invite: None,
    });
    let push = |number, bytes| {
        let Outcome::Pushed(pushed) = commit(Command::push(
            by,
            [fixtures::pushed(number, number, bytes, None)],
        )) else {
            panic!("answered as a push");
        };
        assert_eq!(pushed.through, Some(number));
    };
    let envelopes = |folder: &Path| {
        let store = Store::open(folder, Options::default()).expect("opens");
        store.totals().expect("readable").envelopes
    };
    push(1, 300);
    let before = fs::read(folder.path().join(FILE)).expect("reads");
    push(2, 700_000);
    let journals =
        JOURNALS.map(|name| fs::metadata(folder.path().join(name)).expect("there").len());
    assert!(journals.iter().sum::<u64>() < 600_000, "{journals:?}");
    assert_eq!(
        envelopes(left_by(folder.path(), &[FILE, KEYS]).path()),
        2,
        "without the journal"
    );
    let all = [FILE, KEYS, JOURNALS[0], JOURNALS[1]];
    assert_eq!(envelopes(left_by(folder.path(), &all).path()), 2);
    push(3, 300);
    assert_eq!(
        envelopes(left_by(folder.path(), &[FILE, KEYS]).path()),
        2,
        "the last is in the journal"
    );
    let left = left_by(folder.path(), &all);
    assert_eq!(envelopes(left.path()), 3);
    // A file from before the large one has not got it, and neither has the journal.
    let mixed = left_by(folder.path(), &all);
    fs::write(mixed.path().join(FILE), before).expect("writes");
    assert!(matches!(
        refusal(mixed.path()).0,
        StoreError::OtherJournal { .. }
    ));
}
