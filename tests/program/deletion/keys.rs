//! Day keys: their lifetime, and what is readable without them.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use graceful_protocol::wire::gap::Reason;
use graceful_rules::command::{Command, Fetch, FetchResult, Member, Outcome};
use graceful_store::{Engine as _, FILE, KEYS, Store, StoreError};

use super::raw::{self, HEAD_BYTES, copy, day, payloads, push, sealed};

const SLOT_BYTES: usize = 4_096;

fn open(folder: &Path) -> Store {
    Store::open(folder, raw::options()).expect("opens")
}

fn refused(folder: &Path) -> String {
    let error = Store::open(folder, raw::options()).err().expect("refused");
    assert!(matches!(error, StoreError::KeyMissing { .. }), "{error:?}");
    let text = error.to_string();
    let file = folder.join(KEYS);
    assert!(
        text.contains(file.to_str().expect("text")) && text.contains(FILE),
        "names both files: {text}"
    );
    assert!(
        text.contains("restore both files"),
        "says what to do: {text}"
    );
    text
}

/// The slots that hold anything, with the keys in them.
fn keys_in(folder: &Path) -> Vec<Vec<u8>> {
    let slots = fs::read(folder.join(KEYS)).expect("reads");
    assert_eq!(slots.len() % SLOT_BYTES, 0);
    let used = slots
        .chunks(SLOT_BYTES)
        .filter(|slot| slot.iter().any(|byte| *byte != 0));
    used.map(|slot| slot[16..48].to_vec()).collect()
}

#[test]
fn old_store_copy_is_unreadable_after_its_day() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let (one, two) = raw::pair(&store, day(0));
    let secret = sealed(7, 100_000);
    push(&store, one, 1, &secret, day(0));
    let old = copy(folder.path());
    let old_keys = keys_in(old.path());
    assert_eq!(old_keys.len(), 1);

    assert_eq!(
        raw::commit(
            &store,
            Command::Ack {
                by: two,
                through: 1
            },
            day(0)
        ),
        Outcome::Acked
    );
    assert_eq!(
        store.retire_day_keys(day(0)).expect("works"),
        0,
        "the day is not over"
    );
    let next = sealed(8, 1_000);
    push(&store, one, 2, &next, day(1));
    assert_eq!(store.retire_day_keys(day(1)).expect("works"), 1);
    assert_eq!(payloads(&store, two, day(1)).expect("reads"), [next]);
    let now = copy(folder.path());
    let file = fs::read(now.path().join(KEYS)).expect("reads");
    assert!(
        !file.windows(32).any(|window| window == old_keys[0]),
        "the key is overwritten"
    );
    assert_eq!(keys_in(now.path()).len(), 1, "and today's is there");

    // With the keys of that time it is all there: so what follows can fail.
    let then = copy(old.path());
    let store_then = open(then.path());
    assert_eq!(payloads(&store_then, two, day(1)).expect("reads"), [secret]);

    fs::copy(now.path().join(KEYS), old.path().join(KEYS)).expect("copied");
    assert!(refused(old.path()).contains("day 0"));
    assert_eq!(
        fs::read(old.path().join(KEYS)).expect("reads"),
        file,
        "nothing was changed"
    );
    fs::remove_file(old.path().join(KEYS)).expect("removed");
    refused(old.path());
    assert!(!old.path().join(KEYS).exists(), "nothing was made");
}

#[test]
fn day_key_stays_until_its_last_envelope_is_deleted() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let (one, two) = raw::pair(&store, day(0));
    for (number, at) in [(1, 0), (2, 0), (3, 1), (4, 3)] {
        push(&store, one, number, &sealed(number, 500), day(at));
    }
    let ack = |through| {
        assert_eq!(
            raw::commit(&store, Command::Ack { by: two, through }, day(3)),
            Outcome::Acked
        )
    };
    let retire = || store.retire_day_keys(day(3)).expect("works");
    assert_eq!((store.day_key_count(), retire()), (3, 0));
    ack(1);
    assert_eq!(retire(), 0);
    ack(2);
    assert_eq!((retire(), keys_in(folder.path()).len()), (1, 2));
    ack(4);
    assert_eq!(
        (retire(), keys_in(folder.path()).len()),
        (1, 1),
        "the day is not over"
    );
    assert_eq!(
        store.retire_day_keys(day(4)).expect("works"),
        1,
        "nor does it need another to begin"
    );
    assert!(keys_in(folder.path()).is_empty());
    push(&store, one, 5, &sealed(5, 500), day(4));
    assert_eq!(
        payloads(&store, two, day(4)).expect("reads"),
        [sealed(5, 500)]
    );
    drop(store);
    assert_eq!(
        payloads(&open(folder.path()), two, day(4)).expect("reads"),
        [sealed(5, 500)]
    );
}

#[test]
fn expiry_erases_day_key_within_a_day() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let (one, _) = raw::pair(&store, day(0));
    // Longer than the retention: never more keys than days of retention plus one.
    for today in 0..70 {
        push(&store, one, today + 1, &sealed(today, 400), day(today));
        raw::commit(&store, Command::Sweep, day(today));
        store.retire_day_keys(day(today)).expect("works");
        assert!(
            store.day_key_count() <= 31,
            "day {today}: {}",
            store.day_key_count()
        );
    }
    raw::commit(&store, Command::Sweep, day(99));
    store.retire_day_keys(day(100)).expect("works");
    assert_eq!(store.day_key_count(), 0);
}

#[test]
fn start_completes_interrupted_key_erasure() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let (one, two) = raw::pair(&store, day(0));
    push(&store, one, 1, &sealed(1, 500), day(0));
    raw::commit(
        &store,
        Command::Ack {
            by: two,
            through: 1,
        },
        day(0),
    );
    push(&store, one, 2, &sealed(2, 500), day(1));
    drop(store);
    assert_eq!(keys_in(folder.path()).len(), 2);
    // Half overwritten: no key any more, and not zeros.
    let file = folder.path().join(KEYS);
    let mut slots = fs::read(&file).expect("reads");
    slots[5 * SLOT_BYTES..5 * SLOT_BYTES + 512].fill(0x5c);
    fs::write(&file, slots).expect("writes");
    let store = open(folder.path());
    assert_eq!(
        (store.day_key_count(), keys_in(folder.path()).len()),
        (1, 1)
    );
    assert_eq!(
        payloads(&store, two, day(1)).expect("reads"),
        [sealed(2, 500)]
    );
}

#[test]
fn missing_day_key_is_detected() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let (one, _) = raw::pair(&store, day(0));
    for (number, at) in [(1, 0), (2, 1), (3, 2)] {
        push(&store, one, number, &sealed(number, 500), day(at));
    }
    drop(store);
    for slot in 0..3 {
        let damaged = copy(folder.path());
        let mut slots = fs::read(damaged.path().join(KEYS)).expect("reads");
        slots[slot * SLOT_BYTES + 20] ^= 1;
        fs::write(damaged.path().join(KEYS), slots).expect("writes");
        assert!(refused(damaged.path()).contains(&format!("day {slot}")));
    }
    drop(open(folder.path()));
}

#[test]
fn older_store_opens_with_newer_sufficient_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let (one, two) = raw::pair(&store, day(0));
    push(&store, one, 1, &sealed(1, 500), day(0));
    let old = copy(folder.path());
    for number in 2..6 {
        push(&store, one, number, &sealed(number, 500), day(number));
    }
    fs::copy(folder.path().join(KEYS), old.path().join(KEYS)).expect("copied");
    let store = open(old.path());
    assert_eq!(
        store.day_key_count(),
        1,
        "keys of a history that is gone are gone"
    );
    for number in 2..9 {
        push(&store, one, number, &sealed(number + 100, 500), day(number));
        store.retire_day_keys(day(number)).expect("works");
    }
    drop(store);
    let waiting = payloads(&open(old.path()), two, day(9)).expect("reads");
    let sent = (2..9).map(|number| sealed(number + 100, 500));
    assert_eq!(
        waiting,
        [sealed(1, 500)].into_iter().chain(sent).collect::<Vec<_>>()
    );
}

fn seen(store: &Store, member: Member) -> FetchResult {
    let look = Fetch {
        member,
        after: 0,
        entries_from: 2,
        bytes_max: u64::MAX,
        at_least_one: true,
    };
    store.fetch(&look, day(0)).expect("reads")
}

#[test]
fn corrupted_envelope_is_detected_and_not_delivered() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let (one, two) = raw::pair(&store, day(0));
    push(&store, one, 1, &sealed(1, 150_000), day(0));
    drop(store);
    let rows = raw::log_rows(folder.path());
    let file = fs::read(folder.path().join(FILE)).expect("reads");
    assert_eq!(rows.len(), 3);
    // In the head, where only the sender's key and the chain are found nowhere else, and behind it.
    let places = [
        (0, 70),
        (0, 100),
        (0, HEAD_BYTES),
        (0, rows[0].len() - 1),
        (1, 0),
        (2, rows[2].len() - 17),
    ];
    for (row, at) in places {
        let start = file
            .windows(rows[row].len())
            .rposition(|window| window == rows[row])
            .expect("there");
        let mut damaged = file.clone();
        damaged[start + at] ^= 1;
        let copy = copy(folder.path());
        fs::write(copy.path().join(FILE), damaged).expect("writes");
        let store = open(copy.path());
        assert_eq!(
            seen(&store, two),
            FetchResult::Corrupted { seq: 1 },
            "not delivered"
        );
        // Nobody can use that to have what is whole given up.
        push(&store, one, 2, &sealed(2, 1_000), day(0));
        let drop_corrupted = |seq| {
            raw::commit(
                &store,
                Command::DropCorrupted {
                    account: one.account,
                    seq,
                },
                day(0),
            )
        };
        assert_eq!(
            drop_corrupted(2),
            Outcome::Swept {
                envelopes: 0,
                more: false
            }
        );
        assert_eq!(
            drop_corrupted(1),
            Outcome::Swept {
                envelopes: 1,
                more: false
            }
        );
        let FetchResult::Page(ready) = seen(&store, two) else {
            panic!("something to see")
        };
        let gap = ready.gap.expect("it is told");
        assert_eq!((gap.from, gap.through, gap.reason), (1, 1, Reason::Damaged));
        assert_eq!(ready.envelopes.len(), 1, "and what is whole comes");
        assert_eq!(store.totals().expect("reads").envelopes, 1);
    }
    assert_eq!(
        payloads(&open(folder.path()), two, day(0))
            .expect("reads")
            .len(),
        1
    );
}

#[test]
fn commit_across_day_boundary_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let (one, two) = raw::pair(&store, day(0));
    let (today, retired) = (AtomicU64::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 1..=200 {
                today.store(number / 4, Ordering::Relaxed);
                let payload = sealed(number, 500);
                push(&store, one, number, &payload, day(number / 4));
                assert_eq!(
                    payloads(&store, two, day(number / 4)).expect("opens"),
                    [payload]
                );
                let ack = Command::Ack {
                    by: two,
                    through: number,
                };
                assert_eq!(raw::commit(&store, ack, day(number / 4)), Outcome::Acked);
            }
        });
        // Maintenance ends each day at once; concurrent readers see an envelope or none.
        while !writer.is_finished() {
            let tomorrow = day(today.load(Ordering::Relaxed) + 1);
            retired.fetch_add(
                store.retire_day_keys(tomorrow).expect("works"),
                Ordering::Relaxed,
            );
            assert!(payloads(&store, two, tomorrow).expect("opens").len() <= 1);
        }
    });
    assert!(retired.into_inner() > 20, "the two met");
    push(&store, one, 201, &sealed(201, 500), day(60));
    drop(store);
    assert_eq!(
        payloads(&open(folder.path()), two, day(60)).expect("opens"),
        [sealed(201, 500)]
    );
}

#[cfg(unix)]
#[test]
fn key_file_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(folder.path()));
    let mode = fs::metadata(folder.path().join(KEYS))
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}
