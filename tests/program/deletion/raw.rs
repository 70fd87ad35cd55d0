//! The raw store file as an attacker with the disk sees it, and accounts in it without a socket.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use graceful_protocol::wire::{Deliver, Envelope};
use graceful_protocol::{Limits, envelope};
use graceful_rules::RelayTime;
use graceful_rules::command::{Command, Fetch, FetchResult, Member, Outcome};
use graceful_server::relay::Registration;
use graceful_store::{Engine as _, FILE, JOURNALS, KEYS, Options, Store, StoreError};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use sha2::{Digest, Sha256};

use graceful_testing::fixtures;

pub const LOG: TableDefinition<&[u8; 10], &[u8]> = TableDefinition::new("log");
pub const INDEX: TableDefinition<&[u8; 16], &[u8; 20]> = TableDefinition::new("index");

/// The plaintext bytes before a row's sealed payload.
pub const HEAD_BYTES: usize = 108;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// A moment of this day of the relay's own time.
pub fn day(day: u64) -> RelayTime {
    RelayTime::from_ms(day * DAY_MS + 5_000)
}

pub fn options() -> Options {
    Options {
        limits: Limits::default(),
        registration: Registration::Open,
        cache_bytes: 8 << 20,
        ..Options::default()
    }
}

/// An envelope of the sealed form with random bytes.
pub fn sealed(seed: u64, at_least: usize) -> Bytes {
    let blocks =
        (0_u64..).flat_map(|block| Sha256::digest([seed, block].map(u64::to_be_bytes).concat()));
    let mut bytes = blocks
        .take(envelope::padded_size(at_least.max(envelope::SIZE_MIN)))
        .collect::<Vec<u8>>();
    bytes[..5].copy_from_slice(&[envelope::FORM, 0, 0, 0, 0]);
    bytes.into()
}

pub fn envelope(push_number: u64, sealed: Bytes) -> Envelope {
    Envelope {
        push_number,
        sealed,
        recipient: Bytes::new(),
    }
}

/// Every row of the log in a copy of the file after the journal was flushed into it.
pub fn log_rows(folder: &Path) -> Vec<Vec<u8>> {
    let copy = copy(folder);
    drop(Store::open(copy.path(), options()).expect("opens"));
    let database = Database::open(copy.path().join(FILE)).expect("a store");
    let transaction = database.begin_read().expect("begins");
    let log = transaction.open_table(LOG).expect("opens");
    log.iter()
        .expect("reads")
        .map(|item| item.expect("reads").1.value().to_vec())
        .collect()
}

/// All its files, as they are now, in a folder of their own.
pub fn copy(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    for name in [FILE, KEYS].into_iter().chain(JOURNALS) {
        fs::copy(folder.join(name), copy.path().join(name)).expect("copied");
    }
    copy
}

/// How many pieces of these bytes are in the store and its journal.
pub fn pieces_in(folder: &Path, bytes: &[u8]) -> usize {
    [FILE]
        .iter()
        .chain(&JOURNALS)
        .map(|name| pieces_in_file(&folder.join(name), bytes))
        .sum()
}

fn pieces_in_file(file: &Path, bytes: &[u8]) -> usize {
    const PIECE_BYTES: usize = 24;
    let content = fs::read(file).expect("reads");
    let pieces = bytes.chunks_exact(PIECE_BYTES).collect::<HashSet<_>>();
    // What a piece begins with rules out nearly all places without a search.
    let start = |piece: &[u8]| {
        usize::from(piece[0]) << 16 | usize::from(piece[1]) << 8 | usize::from(piece[2])
    };
    let mut starts = vec![false; 1 << 24];
    pieces.iter().for_each(|piece| starts[start(piece)] = true);
    content
        .windows(PIECE_BYTES)
        .filter(|window| starts[start(window)] && pieces.contains(window))
        .count()
}

/// Two devices of one account, and the second's name in the store.
pub fn pair(store: &Store, now: RelayTime) -> (Member, Member) {
    let entry = fixtures::genesis(1);
    let log = graceful_protocol::membership::Membership::from_genesis(&entry).expect("an entry");
    let found = Command::CreateAccount {
        entry,
        by: fixtures::device_key(1),
        invite: None,
    };
    assert_eq!(commit(store, found, now), Outcome::AccountCreated);
    let one = member(store, 1);
    let entries = vec![fixtures::adding(&log, 1, 2)];
    assert_eq!(
        commit(
            store,
            Command::AppendMembership {
                by: one,
                first: 1,
                entries
            },
            now
        ),
        Outcome::MembershipAppended
    );
    (one, member(store, 2))
}

pub fn member(store: &Store, device: u8) -> Member {
    let found = store
        .find(&fixtures::account_id(1), &fixtures::device_key(device))
        .expect("reads");
    found.expect("a member").member
}

pub fn commit(store: &Store, change: Command, now: RelayTime) -> Outcome {
    store
        .commit(&[change], now)
        .expect("commits")
        .outcomes
        .remove(0)
}

pub fn push(store: &Store, by: Member, number: u64, sealed: &Bytes, now: RelayTime) {
    let change = Command::push(by, [envelope(number, sealed.clone())]);
    let outcome = commit(store, change, now);
    assert!(
        matches!(&outcome, Outcome::Pushed(pushed) if pushed.refusal.is_none()),
        "{outcome:?}"
    );
}

/// The payloads that wait for a device.
pub fn payloads(store: &Store, member: Member, now: RelayTime) -> Result<Vec<Bytes>, StoreError> {
    let look = Fetch {
        member,
        after: 0,
        entries_from: 2,
        bytes_max: u64::MAX,
        at_least_one: true,
    };
    match store.fetch(&look, now)? {
        FetchResult::Page(ready) => Ok(ready.envelopes.into_iter().map(|one| one.sealed).collect()),
        other => panic!("nothing to see: {other:?}"),
    }
}

pub fn sealed_of(deliver: &Deliver) -> Vec<Bytes> {
    deliver
        .envelopes
        .iter()
        .map(|one| one.sealed.clone())
        .collect()
}
