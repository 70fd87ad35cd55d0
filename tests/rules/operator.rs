//! What an operator does to an account: it holds for that one and no other, and leaves nothing behind.

use graceful_protocol::Code;
use graceful_rules::change::{Change, Outcome, Whose};
use graceful_rules::membership::Registration;
use graceful_rules::roll::{Order, Page};
use graceful_rules::{AccountNumber, Ordinal, Quota, RelayTime};
use graceful_store::{Options, Store};

use crate::support::{self, account_id, device_key, pushed};

const NOW: RelayTime = RelayTime::from_ms(1_000);

/// Two accounts, founded by devices 1 and 2.
fn store() -> Store {
    let store = support::store(Options {
        registration: Registration::Open,
        ..Options::default()
    })
    .expect("a store");
    for number in [1, 2] {
        let found = Change::Found {
            entry: support::founding(number),
            by: device_key(number),
            invite: None,
        };
        assert_eq!(commit(&store, found), Outcome::Founded);
    }
    store
}

fn commit(store: &Store, change: Change) -> Outcome {
    let mut committed = store.commit(vec![change], NOW).expect("a commit");
    committed.outcomes.pop().expect("an outcome")
}

/// Pushes one envelope, and says why it was not kept.
fn push(store: &Store, account: u64, push_number: u64) -> Option<Code> {
    let by = Whose {
        account: AccountNumber(account),
        device: Ordinal(0),
    };
    match commit(
        store,
        Change::push(by, [pushed(push_number, push_number, 300, None)]),
    ) {
        Outcome::Pushed(pushed) => pushed.refusal.map(|refusal| refusal.code),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_quota_holds_for_its_account_alone_and_from_the_next_push_on() {
    let store = store();
    assert_eq!(push(&store, 1, 1), None);
    let set = |quota| {
        commit(
            &store,
            Change::SetQuota {
                account: account_id(1),
                quota,
            },
        )
    };
    assert_eq!(
        set(Quota {
            bytes_max: Some(600),
            envelopes_max: None
        }),
        Outcome::QuotaSet
    );
    assert_eq!(
        (push(&store, 1, 2), push(&store, 2, 1)),
        (Some(Code::QuotaBytes), None)
    );
    set(Quota {
        bytes_max: None,
        envelopes_max: Some(1),
    });
    assert_eq!(
        (push(&store, 1, 2), push(&store, 2, 2)),
        (Some(Code::QuotaEnvelopes), None)
    );
    set(Quota::default());
    assert_eq!(push(&store, 1, 2), None);
    let stranger = Change::SetQuota {
        account: account_id(3),
        quota: Quota::default(),
    };
    assert!(matches!(commit(&store, stranger), Outcome::Refused(_)));
}

#[test]
fn who_is_evicted_leaves_no_row_and_nobody_else_loses_one() {
    let store = store();
    for push_number in 1..=3 {
        assert_eq!(
            (push(&store, 1, push_number), push(&store, 2, push_number)),
            (None, None)
        );
    }
    let both = store.account_rows().expect("readable");
    let evict = vec![Change::Evict {
        account: account_id(1),
    }];
    let committed = store.commit(evict.clone(), NOW).expect("a commit");
    assert_eq!(committed.outcomes, [Outcome::Closed { envelopes: 3 }]);
    assert!(
        committed
            .stirs
            .iter()
            .any(|stir| stir.account == AccountNumber(1) && stir.turned),
        "it is told"
    );
    assert_eq!(store.account_rows().expect("readable") * 2, both);
    let again = store.commit(evict, NOW).expect("a commit");
    assert!(matches!(again.outcomes[..], [Outcome::Refused(_)]));
    commit(
        &store,
        Change::Evict {
            account: account_id(2),
        },
    );
    assert_eq!(store.account_rows().expect("readable"), 0);
}

#[test]
fn the_roll_is_in_the_order_that_was_asked_for() {
    let store = store();
    for push_number in 1..=2 {
        push(&store, 2, push_number);
    }
    push(&store, 1, 1);
    let listed = |order| {
        let page = Page {
            order,
            after: None,
            accounts_max: 10,
        };
        let (entries, next) = store
            .roll(page, RelayTime::from_ms(61_000))
            .expect("readable");
        assert_eq!(next, None);
        entries
            .into_iter()
            .map(|(number, entry)| (number.0, entry.newest_s))
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(Order::Bytes), [(2, Some(60)), (1, Some(60))]);
    assert_eq!(listed(Order::Envelopes)[0].0, 2);
    assert_eq!(listed(Order::Activity)[0].0, 1);
}
