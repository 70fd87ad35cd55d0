//! Stores that earlier versions wrote open for ever, with all that was in them.
//!
//! `tests/data/migrations` has one of each layout, as a relay left it that was killed: part of it in redb, part
//! in the journal only. Before a layout changes, `cargo test --test program migrations -- --ignored` makes that of now.

use graceful_testing::fixtures;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use graceful_protocol::membership::{Membership, account_id};
use graceful_protocol::wire::{Envelope, SignedEntry};
use graceful_rules::RelayTime;
use graceful_rules::command::{Command, Fetch, FetchResult, Member, Outcome, invite_hash};
use graceful_rules::membership::Registration;
use graceful_store::{Engine as _, FILE, JOURNALS, KEYS, Options, SCHEMA_VERSION, Store};
use graceful_testing::program::Home;
use redb::ReadableDatabase as _;

/// Accounts of each fixture: devices 1 and 11 created them and added 2 and 12.
const CREATORS: [u8; 2] = [1, 11];

/// Envelopes that each creator pushed. The other device has acknowledged the first of them.
const PUSHED: u64 = 40;
const ACKED: u64 = 5;

const INVITATION: &str = "an invitation that nobody has used";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/migrations")
}

/// Bytes of the envelope with this push number: small ones, some with a tail of rows, one that goes straight
/// into redb.
fn size(creator: u8, number: u64) -> usize {
    match (creator, number) {
        (1, 7) => 530_000,
        (_, 13) => 70_000,
        _ => 600,
    }
}

fn envelope(creator: u8, number: u64) -> Envelope {
    let recipient = (number == 9).then_some(creator + 1);
    fixtures::pushed(
        number,
        u64::from(creator) << 32 | number,
        size(creator, number),
        recipient,
    )
}

fn entry(creator: u8) -> SignedEntry {
    if creator == 1 {
        fixtures::recoverable(creator)
    } else {
        fixtures::genesis(creator)
    }
}

fn member(store: &Store, creator: u8, device: u8) -> Member {
    let found = store.find(&account_id(&entry(creator)), &fixtures::device_key(device));
    found.expect("it can be read").expect("a member").member
}

fn commit(store: &Store, change: Command, now: RelayTime) {
    let outcomes = store.commit(&[change], now).expect("on disk").outcomes;
    assert!(!matches!(outcomes[0], Outcome::Refused(_)), "{outcomes:?}");
}

/// A relay's folder with something in each table, as a kill leaves it.
fn fill(folder: &Path) {
    let now = RelayTime::from_ms(1_000);
    let open = Options {
        registration: Registration::Open,
        ..Options::default()
    };
    let store = Store::open(folder, open).expect("a new store");
    for creator in CREATORS {
        let (entry, by) = (entry(creator), fixtures::device_key(creator));
        commit(
            &store,
            Command::CreateAccount {
                entry: entry.clone(),
                by,
                invite: None,
            },
            now,
        );
        let membership = Membership::from_genesis(&entry).expect("account is created");
        let entries = vec![fixtures::adding(&membership, creator, creator + 1)];
        commit(
            &store,
            Command::AppendMembership {
                by: member(&store, creator, creator),
                first: 1,
                entries,
            },
            now,
        );
    }
    commit(
        &store,
        Command::CreateInvite {
            hash: invite_hash(INVITATION),
            expires: RelayTime::from_ms(u64::MAX),
        },
        now,
    );
    for number in 1..=PUSHED {
        for creator in CREATORS {
            commit(
                &store,
                Command::push(
                    member(&store, creator, creator),
                    [envelope(creator, number)],
                ),
                now,
            );
        }
        if number == PUSHED / 2 {
            store.flush_all().expect("on disk");
        }
    }
    for creator in CREATORS {
        commit(
            &store,
            Command::Ack {
                by: member(&store, creator, creator + 1),
                through: ACKED,
            },
            now,
        );
    }
    // A kill: nothing is closed.
    std::mem::forget(store);
}

/// Makes the fixture of the layout that this code writes.
#[test]
#[ignore = "made once for each layout"]
fn create_fixture_of_current_layout() {
    let data = tempfile::tempdir().expect("a folder");
    fill(data.path());
    fs::create_dir_all(folder()).expect("the folder of fixtures");
    let file =
        File::create_new(folder().join(format!("{SCHEMA_VERSION}.tar.gz"))).expect("not there yet");
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::best()));
    for name in [FILE, KEYS, JOURNALS[0], JOURNALS[1]] {
        archive
            .append_path_with_name(data.path().join(name), name)
            .expect("packed");
    }
    archive
        .into_inner()
        .expect("packed")
        .finish()
        .expect("packed");
}

fn unpack(layout: u32) -> tempfile::TempDir {
    let data = tempfile::tempdir().expect("a folder");
    unpack_into(layout, data.path());
    data
}

fn unpack_into(layout: u32, data: &Path) {
    let file =
        File::open(folder().join(format!("{layout}.tar.gz"))).expect("each layout has its fixture");
    tar::Archive::new(GzDecoder::new(file))
        .unpack(data)
        .expect("unpacked");
}

/// What the other device of an account has not acknowledged, by push number and content.
fn waiting(store: &Store, creator: u8) -> Vec<(u64, Bytes)> {
    let mut waiting = Vec::new();
    let (member, mut after) = (member(store, creator, creator + 1), 0);
    loop {
        let look = Fetch {
            member,
            after,
            entries_from: 0,
            bytes_max: 1 << 20,
            at_least_one: true,
        };
        let FetchResult::Page(ready) = store.fetch(&look, RelayTime::from_ms(2_000)).expect("read")
        else {
            panic!("a member sees what waits for it");
        };
        assert!(
            after > 0 || ready.entries.len() == 2,
            "the whole membership log"
        );
        waiting.extend(
            ready
                .envelopes
                .into_iter()
                .map(|envelope| (envelope.push_number, envelope.sealed)),
        );
        after = ready.through;
        if after >= ready.head {
            return waiting;
        }
    }
}

/// Everything that was put into a fixture is there, whole and in order.
fn check(store: &Store) {
    for creator in CREATORS {
        let expected = |number| (number, envelope(creator, number).sealed);
        assert!(waiting(store, creator) == (ACKED + 1..=PUSHED).map(expected).collect::<Vec<_>>());
    }
    let totals = store.totals().expect("read");
    assert_eq!(
        (totals.accounts, totals.envelopes),
        (2, 2 * (PUSHED - ACKED))
    );
    let tally = store.audit_all(&mut |_| {}).expect("read");
    assert_eq!(
        (tally.unreadable, tally.misplaced, tally.miscounted),
        (0, 0, 0)
    );
    assert!(
        store
            .find_recovery(&fixtures::device_key(fixtures::RECOVERY))
            .expect("read")
            .is_some()
    );
}

/// The copy of the store that an upgrade retains.
const BEFORE: &str = "relay.redb.before-upgrade";

#[test]
fn store_of_each_layout_opens_and_continues() {
    for (layout, closed) in
        (1..=SCHEMA_VERSION).flat_map(|layout| [(layout, false), (layout, true)])
    {
        let data = unpack(layout);
        if closed {
            drop(redb::Database::open(data.path().join(FILE)).expect("opens"));
        }
        let store = Store::open(data.path(), Options::default()).expect("opens");
        check(&store);
        assert_eq!(data.path().join(BEFORE).exists(), layout < SCHEMA_VERSION);
        let (creator, added) = (CREATORS[0], 21);
        let now = RelayTime::from_ms(3_000);
        commit(
            &store,
            Command::push(
                member(&store, creator, creator),
                [envelope(creator, PUSHED + 1)],
            ),
            now,
        );
        let (entry, by) = (fixtures::genesis(added), fixtures::device_key(added));
        commit(
            &store,
            Command::CreateAccount {
                entry,
                by,
                invite: Some(invite_hash(INVITATION)),
            },
            now,
        );
        drop(store);
        let store = Store::open(data.path(), Options::default()).expect("opens again");
        assert_eq!(waiting(&store, creator).len() as u64, PUSHED + 1 - ACKED);
    }
}

#[test]
fn store_before_upgrade_is_retained_for_a_day() {
    let data = unpack(1);
    // What a crash in the middle of an earlier try left.
    for name in [BEFORE, "relay.redb.upgrading"] {
        fs::write(data.path().join(name), b"half of it").expect("written");
    }
    let store = Store::open(data.path(), Options::default()).expect("opens");
    assert!(!data.path().join("relay.redb.upgrading").exists());
    let clock = store.clock_at_open();
    let day = Duration::from_secs(24 * 60 * 60);
    assert!(
        !store
            .remove_upgrade_backup(clock.plus(day - Duration::from_secs(1)))
            .expect("looked")
    );
    // Back to the version before: the old file with the keys beside it, and no journal.
    let back = tempfile::tempdir().expect("a folder");
    fs::copy(data.path().join(BEFORE), back.path().join(FILE)).expect("kept");
    fs::copy(data.path().join(KEYS), back.path().join(KEYS)).expect("copied");
    let layout = |folder: &Path| {
        let database = redb::Database::open(folder.join(FILE)).expect("opens");
        let meta = redb::TableDefinition::<&[u8], &[u8]>::new("meta");
        let read = database.begin_read().expect("begins");
        let row = read
            .open_table(meta)
            .expect("there")
            .get(b"schema_version".as_slice())
            .expect("read");
        row.expect("named").value().to_vec()
    };
    assert_eq!(layout(back.path()), 1_u32.to_be_bytes());
    check(&Store::open(back.path(), Options::default()).expect("opens"));
    assert!(
        store
            .remove_upgrade_backup(clock.plus(day))
            .expect("looked")
    );
    assert!(!data.path().join(BEFORE).exists());
    drop(store);
    assert_eq!(layout(data.path()), SCHEMA_VERSION.to_be_bytes());
}

#[test]
fn backup_of_each_layout_restores() {
    for layout in 1..=SCHEMA_VERSION {
        let packed = folder().join(format!("{layout}.backup.gz"));
        if layout == SCHEMA_VERSION && !packed.exists() {
            // Made when this layout is that of a version before.
            continue;
        }
        let home = Home::new();
        let mut packed = GzDecoder::new(File::open(packed).expect("each layout has its backup"));
        std::io::copy(
            &mut packed,
            &mut File::create(home.path("backup")).expect("a file"),
        )
        .expect("unpacked");
        home.run(&["restore", "backup", "--data-dir", "relay"])
            .success();
        check(&Store::open(&home.path("relay"), Options::default()).expect("opens"));
        assert!(
            !home.path("relay").join(BEFORE).exists(),
            "the backup is what was before"
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn upgrade_without_space_names_need_and_changes_nothing() {
    let disk = tempfile::tempdir().expect("a folder");
    let mut mount = Program::new("mount");
    let mounted = mount
        .args(["-t", "tmpfs", "-o", "size=12m,mode=700", "tmpfs"])
        .arg(disk.path())
        .output();
    if !mounted.is_ok_and(|mounted| mounted.status.success()) {
        println!(
            "LEFT OUT: no file system can be mounted here, so nothing is shown about a small disk"
        );
        return;
    }
    let data = disk.path().join("relay");
    fs::create_dir(&data).expect("a folder");
    unpack_into(1, &data);
    let refused = Store::open(&data, Options::default())
        .err()
        .map(|error| error.to_string());
    let there: Vec<_> = fs::read_dir(&data)
        .expect("a folder")
        .map(|entry| entry.expect("one").file_name())
        .collect();
    let unmounted = Program::new("umount").arg("-l").arg(disk.path()).status();
    assert!(unmounted.is_ok_and(|status| status.success()), "unmounted");
    assert!(
        refused
            .as_ref()
            .is_some_and(|text| text.contains("bytes must be free")),
        "{refused:?}"
    );
    assert_eq!(there.len(), 4, "{there:?}");
}
