//! What a store has after whatever happened to its journal.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::record::BLOCK_BYTES;
use crate::{Engine, JOURNALS, Options, Store, StoreError};
use graceful_protocol::StoreEpoch;
use graceful_rules::RelayTime;
use graceful_rules::command::Command;

fn open(data_dir: &Path) -> Result<Store, StoreError> {
    Store::open(data_dir, Options::default())
}

/// A commit, which can be told from others by its time.
fn commit(store: &Store, at_ms: u64) {
    store
        .commit(&[Command::SaveClock], RelayTime::from_ms(at_ms))
        .expect("committed");
}

/// What a relay leaves in its data_dir that dies just now.
fn died(data_dir: &Path) -> TempDir {
    let left = tempfile::tempdir().expect("a directory");
    for entry in fs::read_dir(data_dir).expect("a directory") {
        let entry = entry.expect("a file");
        fs::copy(entry.path(), left.path().join(entry.file_name())).expect("copied");
    }
    left
}

#[test]
fn what_is_committed_after_a_restore_outlives_a_crash() {
    // The journal of the history before was closed in one of its files or the other.
    for turns in 1..4 {
        let data_dir = tempfile::tempdir().expect("a directory");
        for turn in 0..turns {
            commit(&open(data_dir.path()).expect("opened"), turn + 1);
        }
        let restored = open(data_dir.path()).expect("opened");
        restored
            .begin_epoch(StoreEpoch::new([7; 16]))
            .expect("begun");
        drop(restored);
        let store = open(data_dir.path()).expect("opened");
        commit(&store, 100);
        commit(&store, 200);
        let left = died(data_dir.path());
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
    let data_dir = tempfile::tempdir().expect("a directory");
    let store = open(data_dir.path()).expect("opened");
    (1..4).for_each(|at_ms| commit(&store, at_ms));
    let left = died(data_dir.path());
    let journal = fs::read(left.path().join(JOURNALS[0])).expect("read");
    (left, journal)
}

/// What becomes of it with one byte of a block altered.
fn altered(block: usize, byte: usize) -> Result<u64, StoreError> {
    let (data_dir, mut journal) = three_records();
    journal[block * BLOCK_BYTES + byte] ^= 1;
    fs::write(data_dir.path().join(JOURNALS[0]), journal).expect("written");
    Ok(open(data_dir.path())?.clock_at_open().ms())
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
