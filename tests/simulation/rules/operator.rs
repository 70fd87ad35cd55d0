//! Operator commands affect the named account only.

use graceful_protocol::Code;
use graceful_rules::account_list::{AccountOrder, ListRequest};
use graceful_rules::command::{Command, DeletionRequest, Member, Outcome};
use graceful_rules::membership::Registration;
use graceful_rules::{AccountNumber, DeviceIndex, Quota, RelayTime};
use graceful_store::{Engine as _, Options, Store};

use graceful_testing::fixtures::{self, account_id, device_key, pushed};

const NOW: RelayTime = RelayTime::from_ms(1_000);

/// Two accounts, created by devices 1 and 2.
fn store() -> Store {
    let store = fixtures::store(Options {
        registration: Registration::Open,
        ..Options::default()
    })
    .expect("a store");
    for number in [1, 2] {
        let found = Command::CreateAccount {
            entry: fixtures::genesis(number),
            by: device_key(number),
            invite: None,
        };
        assert_eq!(commit(&store, found), Outcome::AccountCreated);
    }
    store
}

fn commit(store: &Store, change: Command) -> Outcome {
    let mut committed = store.commit(&[change], NOW).expect("a commit");
    committed.outcomes.pop().expect("an outcome")
}

/// Pushes one envelope and returns the refusal, if any.
fn push(store: &Store, account: u64, push_number: u64) -> Option<Code> {
    let by = Member {
        account: AccountNumber(account),
        device: DeviceIndex(0),
    };
    match commit(
        store,
        Command::push(by, [pushed(push_number, push_number, 300, None)]),
    ) {
        Outcome::Pushed(pushed) => pushed.refusal.map(|refusal| refusal.code),
        other => panic!("{other:?}"),
    }
}

#[test]
fn quota_applies_to_its_account_from_next_push() {
    let store = store();
    assert_eq!(push(&store, 1, 1), None);
    let set = |quota| {
        commit(
            &store,
            Command::SetQuota {
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
    let stranger = Command::SetQuota {
        account: account_id(3),
        quota: Quota::default(),
    };
    assert!(matches!(commit(&store, stranger), Outcome::Refused(_)));
}

#[test]
fn operator_deletion_leaves_no_row_of_that_account_only() {
    let store = store();
    for push_number in 1..=3 {
        assert_eq!(
            (push(&store, 1, push_number), push(&store, 2, push_number)),
            (None, None)
        );
    }
    let both = store.account_row_count().expect("readable");
    let evict = vec![Command::DeleteAccount {
        by: DeletionRequest::Operator(account_id(1)),
    }];
    let committed = store.commit(&evict, NOW).expect("a commit");
    assert_eq!(
        committed.outcomes,
        [Outcome::AccountDeleted { envelopes: 3 }]
    );
    assert!(
        committed
            .changed_accounts
            .iter()
            .any(|change| change.account == AccountNumber(1) && change.needs_refetch),
        "it is told"
    );
    assert_eq!(store.account_row_count().expect("readable") * 2, both);
    let again = store.commit(&evict, NOW).expect("a commit");
    assert!(matches!(again.outcomes[..], [Outcome::Refused(_)]));
    commit(
        &store,
        Command::DeleteAccount {
            by: DeletionRequest::Operator(account_id(2)),
        },
    );
    assert_eq!(store.account_row_count().expect("readable"), 0);
}

#[test]
fn account_listing_follows_requested_order() {
    let store = store();
    for push_number in 1..=2 {
        push(&store, 2, push_number);
    }
    push(&store, 1, 1);
    let listed = |order| {
        let page = ListRequest {
            order,
            after: None,
            accounts_max: 10,
        };
        let (entries, next) = store
            .list_accounts(page, RelayTime::from_ms(61_000))
            .expect("readable");
        assert_eq!(next, None);
        entries
            .into_iter()
            .map(|(number, entry)| (number.0, entry.newest_s))
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(AccountOrder::Bytes), [(2, Some(60)), (1, Some(60))]);
    assert_eq!(listed(AccountOrder::Envelopes)[0].0, 2);
    assert_eq!(listed(AccountOrder::Activity)[0].0, 1);
}
