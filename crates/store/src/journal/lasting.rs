//! What a store has after whatever happened to its journal.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::{JOURNALS, Options, Store, StoreError};
use graceful_protocol::StoreEpoch;
use graceful_rules::RelayTime;
use graceful_rules::change::Change;

use crate::record::BLOCK_BYTES;

fn open(folder: &Path) -> Result<Store, StoreError> {
    Store::open(folder, Options::default())
}

/// A commit, which can be told from others by its time.
fn commit(store: &Store, at_ms: u64) {
    store
        .commit(vec![Change::MarkClock], RelayTime::from_ms(at_ms))
        .expect("committed");
}

/// What a relay leaves in its folder that dies just now.
fn died(folder: &Path) -> TempDir {
    let left = tempfile::tempdir().expect("a folder");
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("a file");
        fs::copy(entry.path(), left.path().join(entry.file_name())).expect("copied");
    }
    left
}

#[test]
fn what_is_committed_after_a_restore_outlives_a_crash() {
    // The journal of the history before was closed in one of its files or the other.
    for turns in 1..4 {
        let folder = tempfile::tempdir().expect("a folder");
        for turn in 0..turns {
            commit(&open(folder.path()).expect("opened"), turn + 1);
        }
        let restored = open(folder.path()).expect("opened");
        restored
            .begin_history(StoreEpoch::new([7; 16]))
            .expect("begun");
        drop(restored);
        let store = open(folder.path()).expect("opened");
        commit(&store, 100);
        commit(&store, 200);
        let left = died(folder.path());
        let again = open(left.path()).expect("opened");
        assert_eq!(
            again.clock_at_open(),
            RelayTime::from_ms(200),
            "after {turns} turns"
        );
    }
}

/// The journal's first file, with the header, three records of a block each, and their times.
fn three_records() -> (TempDir, Vec<u8>) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).expect("opened");
    (1..4).for_each(|at_ms| commit(&store, at_ms));
    let left = died(folder.path());
    let journal = fs::read(left.path().join(JOURNALS[0])).expect("read");
    (left, journal)
}

/// What becomes of it with one byte of a block altered.
fn altered(block: usize, byte: usize) -> Result<u64, StoreError> {
    let (folder, mut journal) = three_records();
    journal[block * BLOCK_BYTES + byte] ^= 1;
    fs::write(folder.path().join(JOURNALS[0]), journal).expect("written");
    Ok(open(folder.path())?.clock_at_open().ms())
}

#[test]
fn a_record_that_was_not_written_to_its_end_is_none() {
    assert_eq!(altered(3, 60).expect("opened"), 2);
}

#[test]
fn what_the_disk_altered_before_whole_records_is_not_taken_for_the_end() {
    for block in [1, 2] {
        let opened = altered(block, 60);
        assert!(
            matches!(opened, Err(StoreError::Damaged(_))),
            "block {block}: {opened:?}"
        );
    }
}
