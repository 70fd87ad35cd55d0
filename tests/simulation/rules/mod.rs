//! The store against a naive model: random devices push, acknowledge, join, leave and delete while
//! time passes, and at each step the store must match a list of plain values.

mod model;
mod operator;
mod push;
mod timeouts;

use graceful_protocol::Limits;
use graceful_protocol::membership::Membership;
use graceful_rules::command::{Command, DeletionRequest, Member};
use graceful_rules::membership::Registration;
use graceful_rules::{AccountNumber, DeviceIndex, Quota, RelayTime};
use graceful_store::{Committed, Engine, MemoryStore, Options, Store};
use graceful_testing::fixtures;
use model::{Step, World};
use proptest::prelude::*;

fn options() -> Options {
    let limits = Limits {
        retention_s: 100,
        account_envelopes_max: 40,
        account_devices_max: 4,
        membership_entries_max: 14,
        ..Limits::default()
    };
    Options {
        limits,
        registration: Registration::Open,
        cache_bytes: 1 << 20,
        ..Options::default()
    }
}

fn step() -> impl Strategy<Value = Step> {
    let device = 1..6_u8;
    prop_oneof![
        8 => (device.clone(), 1..6_usize, prop_oneof![4 => Just(None), 1 => (1..6_u8).prop_map(Some)], 300..200_000_usize)
            .prop_map(|(by, count, recipient, size)| Step::Push { by, count, recipient, size }),
        2 => (device.clone(), 1..4_u64).prop_map(|(by, back)| Step::Repeat { by, back }),
        8 => (device.clone(), 0..12_u64).prop_map(|(by, ahead)| Step::Ack { by, ahead }),
        3 => (device.clone(), device.clone()).prop_map(|(by, who)| Step::Add { by, who }),
        2 => (device.clone(), device.clone()).prop_map(|(by, who)| Step::Remove { by, who }),
        1 => (device.clone(), 0..60_u64).prop_map(|(by, through)| Step::DeleteThrough { by, through }),
        3 => (1..60_u64).prop_map(|seconds| Step::Wait { seconds }),
        2 => Just(Step::Sweep),
        1 => device.prop_map(|by| Step::Close { by }),
    ]
}

/// Takes the steps on a store and on the model, and compares them after each.
fn check<S: Engine>(store: S, steps: &[Step]) -> S {
    let mut world = World::new(store, options());
    for step in steps {
        world.take(step);
        world.compare();
    }
    world.store
}

fn redb_store() -> Store {
    fixtures::store(options()).expect("opens")
}

fn memory_store() -> MemoryStore {
    let options = options();
    let identity = redb_store().identity();
    MemoryStore::new(options.limits, options.registration, identity)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn store_matches_plain_list_model(steps in prop::collection::vec(step(), 1..80)) {
        check(redb_store(), &steps);
    }

    #[test]
    fn memory_store_matches_plain_list_model(steps in prop::collection::vec(step(), 1..80)) {
        check(memory_store(), &steps);
    }

    #[test]
    fn remote_rows_match_plain_list_model(
        steps in prop::collection::vec(step(), 1..80)
    ) {
        let store = check(memory_store().with_remote_rows(), &steps);
        prop_assert!(store.fetch_count() > 0, "no row was at hand before it was fetched");
    }
}

/// A batch in which later commands depend on what the earlier ones wrote.
fn batch() -> Vec<Command> {
    let genesis = fixtures::genesis(1);
    let membership = Membership::replay(std::slice::from_ref(&genesis)).expect("a log");
    let adding = fixtures::adding(&membership, 1, 2);
    let create = |number| Command::CreateAccount {
        entry: fixtures::genesis(number),
        by: fixtures::device_key(number),
        invite: None,
    };
    let member = |account, device| Member {
        account: AccountNumber(account),
        device: DeviceIndex(device),
    };
    let push = |by, numbers: std::ops::RangeInclusive<u64>| {
        Command::push(
            by,
            numbers.map(|number| fixtures::pushed(number, number, 70_000, None)),
        )
    };
    vec![
        create(1),
        push(member(1, 0), 1..=3),
        Command::AppendMembership {
            by: member(1, 0),
            first: 1,
            entries: vec![adding],
        },
        Command::Ack {
            by: member(1, 1),
            through: 2,
        },
        push(member(1, 1), 1..=1),
        push(member(1, 0), 2..=5),
        Command::DeleteThrough {
            by: member(1, 0),
            through: 4,
        },
        create(2),
        push(member(2, 0), 1..=2),
        Command::DropCorrupted {
            account: AccountNumber(2),
            seq: 1,
        },
        Command::SetQuota {
            account: fixtures::account_id(1),
            quota: Quota {
                bytes_max: None,
                envelopes_max: Some(1),
            },
        },
        push(member(1, 0), 6..=7),
        Command::DeleteAccount {
            by: DeletionRequest::Operator(fixtures::account_id(2)),
        },
        push(member(2, 0), 3..=3),
        create(2),
        Command::CreateInvite {
            hash: [7; 32],
            expires: RelayTime::from_ms(1),
        },
        Command::Sweep,
        Command::DeleteAccount {
            by: DeletionRequest::Device(member(1, 1)),
        },
    ]
}

#[test]
fn batch_applied_again_has_same_outcome() {
    let commit = |store: &dyn Fn(&[Command], RelayTime) -> Committed, at_ms| {
        let mut committed = store(&batch(), RelayTime::from_ms(at_ms));
        committed
            .changed_accounts
            .sort_by_key(|change| change.account);
        committed
    };
    let (redb, memory, remote) = (
        redb_store(),
        memory_store(),
        memory_store().with_remote_rows(),
    );
    for at_ms in [1_000, 2_000] {
        let expected = commit(
            &|batch, now| redb.commit(batch, now).expect("commits"),
            at_ms,
        );
        let in_memory = commit(
            &|batch, now| memory.commit(batch, now).expect("commits"),
            at_ms,
        );
        let fetched = commit(
            &|batch, now| remote.commit(batch, now).expect("commits"),
            at_ms,
        );
        assert_eq!(expected.outcomes.len(), batch().len());
        assert_eq!(in_memory, expected);
        assert_eq!(fetched, expected);
    }
    assert_eq!(memory.fetch_count(), 0);
    assert!(remote.fetch_count() > 10, "each missing row was named");
    let totals = redb.totals().expect("reads");
    assert_eq!(memory.totals().expect("reads"), totals);
    assert_eq!(remote.totals().expect("reads"), totals);
}

#[test]
fn deleted_account_leaves_no_row() {
    let mut world = World::new(redb_store(), options());
    world.take(&Step::Add { by: 1, who: 2 });
    world.take(&Step::Push {
        by: 1,
        count: 3,
        recipient: None,
        size: 150_000,
    });
    assert_eq!(world.totals(), (1, 3));
    world.take(&Step::Close { by: 2 });
    assert_eq!(world.totals(), (0, 0));
    assert_eq!(world.rows(), 0);
}
