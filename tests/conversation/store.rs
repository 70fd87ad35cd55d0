//! Folders that a relay must not take, and what it says of each.

use std::fs;
use std::path::Path;

use graceful_relay::rules::RelayTime;
use graceful_relay::rules::change::Change;
use graceful_relay::store::{FILE, JOURNALS, KEYS, Options, Store, StoreError};
use redb::{Database, TableDefinition};

const META: TableDefinition<&[u8], &[u8]> = TableDefinition::new("meta");

fn refusal(folder: &Path) -> (StoreError, String) {
    let error = Store::open(folder, Options::default()).err().expect("refused");
    let text = error.to_string();
    assert!(text.contains(folder.to_str().expect("text")), "names the place: {text}");
    assert!(text.contains(';'), "says what to do: {text}");
    (error, text)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn a_folder_with_other_things_in_it_is_left_alone() {
    let folder = folder();
    fs::write(folder.path().join("holiday.jpg"), b"a picture").expect("writes");
    let (error, text) = refusal(folder.path());
    assert!(matches!(error, StoreError::Foreign { .. }) && text.contains("holiday.jpg"), "{text}");
    assert_eq!(fs::read_dir(folder.path()).expect("reads").count(), 1, "nothing was added");
}

#[test]
fn a_file_that_is_no_store_is_left_as_it_is() {
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
fn somebody_elses_database_is_refused() {
    const OTHER: TableDefinition<u64, u64> = TableDefinition::new("songs");
    let folder = folder();
    let database = Database::create(folder.path().join(FILE)).expect("creates");
    let transaction = database.begin_write().expect("begins");
    transaction.open_table(OTHER).expect("opens").insert(1, 2).expect("inserts");
    transaction.commit().expect("commits");
    drop(database);
    let (error, text) = refusal(folder.path());
    assert!(matches!(error, StoreError::NotAStore { .. }) && text.contains("tables"), "{text}");
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_not_touched() {
    let folder = folder();
    drop(Store::open(folder.path(), Options::default()).expect("a store"));
    let file = folder.path().join(FILE);
    let database = Database::create(&file).expect("opens");
    let transaction = database.begin_write().expect("begins");
    {
        let mut meta = transaction.open_table(META).expect("opens");
        meta.insert(b"schema_version".as_slice(), 99_u32.to_be_bytes().as_slice()).expect("inserts");
    }
    transaction.commit().expect("commits");
    drop(database);
    let before = fs::read(&file).expect("reads");
    let (error, text) = refusal(folder.path());
    assert!(matches!(error, StoreError::Newer { found: 99, .. }) && text.contains("99"), "{text}");
    assert!(fs::read(&file).expect("reads") == before, "nothing was changed");
}

#[test]
fn a_store_that_is_in_use_is_not_opened_twice() {
    let folder = folder();
    let _store = Store::open(folder.path(), Options::default()).expect("a store");
    let (error, text) = refusal(folder.path());
    assert!(matches!(error, StoreError::InUse { .. }) && text.contains("another process"), "{text}");
}

#[test]
fn a_folder_that_cannot_be_made_is_said_to_be_so() {
    let folder = folder();
    fs::write(folder.path().join("file"), b"").expect("writes");
    let (error, _) = refusal(&folder.path().join("file").join("below"));
    assert!(matches!(error, StoreError::Folder { .. }), "{error:?}");
}

#[cfg(unix)]
#[test]
fn a_new_folder_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let data = folder.path().join("new").join("data");
    drop(Store::open(&data, Options::default()).expect("a store"));
    let mode = fs::metadata(&data).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let mode = fs::metadata(data.join(FILE)).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_store_beside_a_journal_that_goes_on_from_a_later_state_is_refused() {
    let folder = folder();
    let store = Store::open(folder.path(), Options::default()).expect("a store");
    let mark = || store.commit(vec![Change::MarkClock], RelayTime::from_ms(5)).expect("commits");
    mark();
    let old = fs::read(folder.path().join(FILE)).expect("reads");
    // The record that the old file lacks is written over by the second turn.
    for _ in 0..2 {
        store.fold_all().expect("folds");
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
    assert!(matches!(error, StoreError::OtherJournal { .. }) && text.contains("journal-0"), "{text}");
    for name in JOURNALS {
        fs::rename(left.path().join(name), left.path().join(format!("{name}.away"))).expect("moves");
    }
    drop(Store::open(left.path(), Options::default()).expect("as the message says"));
}
