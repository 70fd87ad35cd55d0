//! Recovery of a journal after damage to its files.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use super::*;
use crate::redb::memtable::RowKey;
use graceful_protocol::{RelayId, StoreEpoch};

const IDENTITY: Identity = Identity {
    relay_id: RelayId::new([1; 16]),
    epoch: StoreEpoch::new([2; 16]),
};
const OTHER: Identity = Identity {
    epoch: StoreEpoch::new([3; 16]),
    ..IDENTITY
};

/// A file that outlives the journal.
#[derive(Debug, Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().expect("lock poisoned")
    }
}

impl StorageBackend for Memory {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.bytes().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let start = usize::try_from(offset).expect("small");
        out.copy_from_slice(&self.bytes()[start..start + out.len()]);
        Ok(())
    }

    fn set_len(&self, length: u64) -> Result<(), io::Error> {
        self.bytes()
            .resize(usize::try_from(length).expect("small"), 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let start = usize::try_from(offset).expect("small");
        self.bytes()[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }
}

#[derive(Default)]
struct Disk([Memory; 2]);

impl Disk {
    fn open(
        &self,
        identity: Identity,
        flushed_through: u64,
    ) -> Result<(Journal, Memtables), StoreError> {
        let files = self.0.each_ref().map(|file| Box::new(file.clone()) as File);
        Journal::open(files, identity, flushed_through)
    }

    /// Returns the names of the rows in the sealed and in the active memtable.
    fn rows(&self, flushed_through: u64) -> (String, String) {
        let (_, memtables) = self.open(IDENTITY, flushed_through).expect("opens");
        let sealed = memtables
            .sealed
            .map(|sealed| names(&sealed.memtable))
            .unwrap_or_default();
        (sealed, names(&memtables.active))
    }
}

fn names(memtable: &Memtable) -> String {
    let there = memtable.rows(6).iter().filter(|(_, value)| value.is_some());
    there
        .map(|(key, _)| str::from_utf8(key.as_bytes()).expect("text"))
        .collect()
}

/// Returns a change of one row: `+` inserts it, `-` removes it.
fn change(name: char, there: bool) -> Memtable {
    let mut memtable = Memtable::default();
    let value = there.then(|| Bytes::from(vec![0x5a; 3_000]));
    memtable.set(6, RowKey::new(name.to_string().as_bytes()), value);
    memtable
}

fn write(journal: &mut Journal, names: &str) {
    names
        .chars()
        .for_each(|name| journal.append(&change(name, true)).expect("writes"));
}

#[test]
fn appended_records_are_recovered_and_continued() {
    let disk = Disk::default();
    let (mut journal, memtables) = disk.open(IDENTITY, 0).expect("opens");
    assert!(memtables.active.is_empty() && memtables.sealed.is_none());
    write(&mut journal, "abc");
    journal.append(&change('b', false)).expect("writes");
    let (mut journal, _) = disk.open(IDENTITY, 0).expect("opens");
    assert_eq!(journal.last_record(), 4);
    write(&mut journal, "d");
    assert_eq!(disk.rows(0), (String::new(), "acd".into()));
    assert_eq!(
        disk.rows(3),
        (String::new(), "d".into()),
        "what is flushed is not read again"
    );
    assert_eq!(disk.rows(5), (String::new(), String::new()));
}

#[test]
fn torn_record_is_absent_and_earlier_ones_recovered() {
    let disk = Disk::default();
    let (mut journal, _) = disk.open(IDENTITY, 0).expect("opens");
    write(&mut journal, "ab");
    let start = journal.bytes();
    write(&mut journal, "c");
    let whole = disk.0[0].bytes().clone();
    // The bytes behind the record are padding.
    let record = HEAD_BYTES + 1 + 1 + 1 + 4 + 3_000;
    for at in (start..start + record)
        .step_by(7)
        .chain([start + record - 1])
    {
        disk.0[0].bytes()[at] ^= 1;
        assert_eq!(disk.rows(0).1, "ab", "byte {}", at - start);
        disk.0[0].bytes().copy_from_slice(&whole);
    }
    for length in [start, start + 100, start + BLOCK_BYTES - 1] {
        disk.0[0].bytes().truncate(length);
        assert_eq!(disk.rows(0).1, "ab");
        *disk.0[0].bytes() = whole.clone();
    }
    assert_eq!(disk.rows(0).1, "abc");
    // The torn record is overwritten and does not reappear behind the new one.
    disk.0[0].bytes()[start] ^= 1;
    let (mut journal, _) = disk.open(IDENTITY, 0).expect("opens");
    write(&mut journal, "x");
    assert_eq!(disk.rows(0).1, "abx");
}

#[test]
fn rotated_segment_hides_its_earlier_records() {
    let disk = Disk::default();
    let (mut journal, _) = disk.open(IDENTITY, 0).expect("opens");
    write(&mut journal, "abcdef");
    journal.rotate();
    write(&mut journal, "gh");
    assert_eq!(disk.rows(0), ("abcdef".into(), "gh".into()));
    assert_eq!(disk.rows(6), (String::new(), "gh".into()));
    journal.rotate();
    write(&mut journal, "i");
    assert_eq!(
        disk.rows(6),
        ("gh".into(), "i".into()),
        "the first file has records c to f still"
    );
    assert_eq!(disk.rows(8), (String::new(), "i".into()));
}

#[test]
fn started_segment_ends_recovery() {
    let disk = Disk::default();
    let (mut journal, _) = disk.open(IDENTITY, 0).expect("opens");
    write(&mut journal, "abc");
    journal.rotate();
    journal.start_segment().expect("writes");
    assert_eq!(disk.rows(3), (String::new(), String::new()));
    let (mut journal, _) = disk.open(IDENTITY, 3).expect("opens");
    write(&mut journal, "d");
    assert_eq!(disk.rows(3), (String::new(), "d".into()));
    // A torn header leaves the records of the other segment.
    disk.0[1].bytes()[20] ^= 1;
    assert_eq!(disk.rows(0), (String::new(), "abc".into()));
}

#[test]
fn journal_of_another_database_is_refused() {
    let disk = Disk::default();
    let (mut journal, _) = disk.open(IDENTITY, 0).expect("opens");
    write(&mut journal, "abc");
    let refused = |identity, flushed_through| match disk.open(identity, flushed_through) {
        Err(error) => assert!(matches!(error, StoreError::OtherJournal { .. }), "{error}"),
        Ok(_) => panic!("taken"),
    };
    refused(OTHER, 0);
    journal.rotate();
    write(&mut journal, "d");
    journal.rotate();
    write(&mut journal, "e");
    assert_eq!(disk.rows(3), ("d".into(), "e".into()));
    refused(IDENTITY, 2);
    // One of the two segments needed is damaged.
    disk.0[1].bytes()[BLOCK_BYTES + HEAD_BYTES + 9] ^= 1;
    refused(IDENTITY, 3);
}

#[test]
fn closed_journal_of_earlier_epoch_is_skipped() {
    let disk = Disk::default();
    let (mut journal, _) = disk.open(IDENTITY, 0).expect("opens");
    write(&mut journal, "abc");
    journal.rotate();
    journal.start_segment().expect("writes");
    let (mut journal, memtables) = disk.open(OTHER, 3).expect("opens");
    assert!(memtables.active.is_empty() && memtables.sealed.is_none());
    write(&mut journal, "d");
    let (_, memtables) = disk.open(OTHER, 3).expect("opens");
    assert_eq!(names(&memtables.active), "d");
}

#[test]
fn arbitrary_bytes_never_panic() {
    let disk = Disk::default();
    let (mut journal, _) = disk.open(IDENTITY, 0).expect("opens");
    write(&mut journal, "ab");
    let whole = disk.0[0].bytes().clone();
    for length in [u64::MAX, u64::MAX - 40, 1 << 40, whole.len() as u64] {
        disk.0[0].bytes()[BLOCK_BYTES..BLOCK_BYTES + 8].copy_from_slice(&length.to_be_bytes());
        assert_eq!(disk.rows(0).1, "");
    }
}
