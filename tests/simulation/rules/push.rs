//! Refusals of a push: each has its own code and changes nothing.

use graceful_protocol::wire::Envelope;
use graceful_protocol::{Code, Limits, envelope};
use graceful_rules::push::{PushDecision, push};
use graceful_rules::{Account, AccountNumber, Device, DeviceIndex};

use graceful_testing::fixtures;

fn account() -> Account {
    let mut account = Account::new(AccountNumber(1), fixtures::account_id(1));
    for number in 1..=2 {
        account.devices.push(Device {
            device_index: DeviceIndex(u32::from(number)),
            key: fixtures::device_key(number),
            cursor: 0,
            push_number: 0,
            gap: None,
        });
    }
    account
}

#[track_caller]
fn check(account: &mut Account, envelope: &Envelope, limits: &Limits, code: Code) {
    let before = account.clone();
    let refusal =
        push(account, DeviceIndex(1), &envelope.clone().into(), limits).expect_err("refused");
    assert_eq!(
        (refusal.code, refusal.push_number),
        (code, envelope.push_number)
    );
    assert!(
        refusal.message.len() > 20,
        "says what happened: {}",
        refusal.message
    );
    assert_eq!(*account, before, "a refusal changes nothing");
}

#[test]
fn each_push_refusal_has_its_code() {
    let limits = Limits::default();
    let mut account = account();
    check(
        &mut account,
        &fixtures::pushed(2, 0, 300, None),
        &limits,
        Code::PushOutOfOrder,
    );
    check(
        &mut account,
        &fixtures::pushed(1, 0, 2_000_000, None),
        &limits,
        Code::EnvelopeTooLarge,
    );
    check(
        &mut account,
        &fixtures::pushed(1, 0, 300, Some(3)),
        &limits,
        Code::UnknownRecipient,
    );
    check(
        &mut account,
        &fixtures::pushed(1, 0, 300, Some(1)),
        &limits,
        Code::UnknownRecipient,
    );
    let plain = Envelope {
        push_number: 1,
        sealed: "{\"amount\": 12}".into(),
        recipient: "".into(),
    };
    check(&mut account, &plain, &limits, Code::NotSealed);
    let none_left = Limits {
        account_envelopes_max: 0,
        ..limits.clone()
    };
    check(
        &mut account,
        &fixtures::pushed(1, 0, 300, None),
        &none_left,
        Code::QuotaEnvelopes,
    );
    let small = Limits {
        account_bytes_max: envelope::SIZE_MIN as u64,
        ..limits
    };
    check(
        &mut account,
        &fixtures::pushed(1, 0, 300, None),
        &small,
        Code::QuotaBytes,
    );
}

#[test]
fn account_counters_match_stored_envelopes() {
    let limits = Limits::default();
    let mut account = account();
    let mut kept = Vec::new();
    for number in 1..=5 {
        let size = 300 * usize::try_from(number).expect("small");
        let decision = push(
            &mut account,
            DeviceIndex(1),
            &fixtures::pushed(number, 0, size, None).into(),
            &limits,
        );
        match decision.expect("kept") {
            PushDecision::Accept { meta: one, .. } => kept.push(one),
            PushDecision::Duplicate => panic!("new"),
        }
    }
    assert!(account.stored_bytes > 5 * 300);
    for one in &kept {
        account.remove(one);
    }
    assert_eq!((account.stored_bytes, account.stored_envelopes), (0, 0));
}
