//! Recovery of a store after damage to its journal.

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

/// Commits at a time that identifies the commit.
fn commit(store: &Store, at_ms: u64) {
    store
        .commit(&[Command::SaveClock], RelayTime::from_ms(at_ms))
        .expect("committed");
}

/// Returns a copy of the data directory, as a crash would leave it.
fn died(data_dir: &Path) -> TempDir {
    let left = tempfile::tempdir().expect("a directory");
    for entry in fs::read_dir(data_dir).expect("a directory") {
        let entry = entry.expect("a file");
        fs::copy(entry.path(), left.path().join(entry.file_name())).expect("copied");
    }
    left
}

#[test]
fn commit_after_restore_survives_a_crash() {
    // The journal of the epoch before was closed in either segment.
    for turns in 1..4 {
        let data_dir = tempfile::tempdir().expect("a directory");
        for turn in 0..turns {
            commit(&open(data_dir.path()).expect("opened"), turn + 1);
        }
        let restored = open(data_dir.path()).expect("opened");
        restored
            .begin_epoch(StoreEpoch::new([7; 16]))
            .expect("started");
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

/// Returns the first segment: the header and three records of a block each.
fn three_records() -> (TempDir, Vec<u8>) {
    let data_dir = tempfile::tempdir().expect("a directory");
    let store = open(data_dir.path()).expect("opened");
    (1..4).for_each(|at_ms| commit(&store, at_ms));
    let left = died(data_dir.path());
    let journal = fs::read(left.path().join(JOURNALS[0])).expect("read");
    (left, journal)
}

/// Returns the time of the last commit recovered with one byte of a block altered.
fn altered(block: usize, byte: usize) -> Result<u64, StoreError> {
    let (data_dir, mut journal) = three_records();
    journal[block * BLOCK_BYTES + byte] ^= 1;
    fs::write(data_dir.path().join(JOURNALS[0]), journal).expect("written");
    Ok(open(data_dir.path())?.clock_at_open().ms())
}

#[test]
fn torn_last_record_is_ignored() {
    assert_eq!(altered(3, 60).expect("opened"), 2);
}

#[test]
fn altered_record_before_whole_ones_is_damage() {
    for block in [1, 2] {
        let opened = altered(block, 60);
        assert!(
            matches!(opened, Err(StoreError::Damaged(_))),
            "block {block}: {opened:?}"
        );
    }
}
