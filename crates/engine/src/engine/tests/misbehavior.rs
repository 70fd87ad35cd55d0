//! A relay that lies is detected with the next honest message, and its misbehavior is named.

use super::*;
use crate::account::AccountView;
use crate::seal::{Binding, seal};
use crate::sealed::{Header, Heads};

/// The log as a lying relay shows it: without `hidden` seqs, with matching running hashes.
fn shown(relay: &NaiveRelay, to: DeviceKey, after: u64, hidden: &[u64]) -> RelayFrame {
    let RelayFrame::Deliver(mut deliver) = relay.deliver(to, after) else {
        panic!("it delivers")
    };
    deliver
        .envelopes
        .retain(|delivered| !hidden.contains(&delivered.seq));
    RelayFrame::Deliver(deliver)
}

/// Recomputes the running hashes to match what is shown.
fn rehash(relay: &mut NaiveRelay) {
    let mut before = chain::START;
    for (seq, (sender, envelope, chain)) in (1..).zip(&mut relay.log) {
        *chain = chain::extend(&before, seq, sender, &envelope.sealed);
        before = *chain;
    }
}

fn misbehaviors(side: &TestDevice) -> Vec<&RelayMisbehavior> {
    let mut found = Vec::new();
    for event in &side.events {
        if let Event::MisbehaviorDetected(misbehavior) = event {
            found.push(misbehavior);
        }
    }
    found
}

fn push(side: &mut TestDevice, relay: &mut NaiveRelay, content: &'static str) -> u64 {
    side.push(Bytes::from_static(content.as_bytes()));
    while side.step(relay) {}
    side.engine.state().outbox().next_number() - 1
}

/// A third device that knows everything the first knows.
fn third(first: &mut TestDevice, relay: &mut NaiveRelay) -> TestDevice {
    let keys = DeviceKeys::random(&mut SeededRng(99));
    let (device, agreement) = (keys.device(), keys.agreement().public());
    let joining = Joining {
        device,
        agreement,
        name: "Tablet".to_owned(),
    };
    first.engine.add_device(joining, first.now_ms).unwrap();
    first.drain();
    while first.step(relay) {}
    let account = first.engine.bundle().unwrap();
    TestDevice::new(
        Identity {
            keys,
            device_id: "tablet".to_owned(),
            account,
        },
        9_000,
    )
}

fn remove(first: &mut TestDevice, device: DeviceKey, relay: &mut NaiveRelay) {
    first.engine.remove_device(device, first.now_ms).unwrap();
    first.drain();
    while first.step(relay) {}
}

#[test]
fn withheld_change_is_named_by_a_later_one() {
    let (mut first, mut second, mut relay) = pair(1);
    second.settle(&mut relay);
    push(&mut first, &mut relay, "one");
    let withheld = push(&mut first, &mut relay, "two");
    let seq = relay.log.len() as u64;
    push(&mut first, &mut relay, "three");
    second.engine.handle_frame(
        shown(&relay, second.device(), second.sent_through, &[seq]),
        second.now_ms,
    );
    second.drain();
    let expected = RelayMisbehavior::Withheld {
        sender: first.device(),
        push_number: withheld,
    };
    assert_eq!(misbehaviors(&second), [&expected]);
    let delivered_through = second
        .inbox
        .iter()
        .filter(|incoming| matches!(incoming, Incoming::Change(_)))
        .count();
    assert_eq!(delivered_through, 2, "received changes are delivered");
}

#[test]
fn reordered_changes_are_detected() {
    let (mut first, mut second, mut relay) = pair(1);
    second.settle(&mut relay);
    let one = push(&mut first, &mut relay, "one");
    push(&mut first, &mut relay, "two");
    let end = relay.log.len();
    relay.log.swap(end - 2, end - 1);
    rehash(&mut relay);
    second.receive(&relay);
    let withheld = RelayMisbehavior::Withheld {
        sender: first.device(),
        push_number: one,
    };
    assert_eq!(
        misbehaviors(&second),
        [&RelayMisbehavior::DivergentLog(end as u64 - 1), &withheld]
    );
}

#[test]
fn forked_log_is_detected_by_both_devices() {
    let (mut first, mut second, mut relay) = pair(1);
    let mut third = third(&mut first, &mut relay);
    for side in [&mut second, &mut third] {
        side.settle(&mut relay);
    }
    push(&mut first, &mut relay, "one");
    push(&mut second, &mut relay, "two");
    let fork = relay.log.len() as u64 - 1;
    // The third device sees them in the reverse order, with matching hashes.
    let mut other = relay.clone();
    let end = other.log.len();
    other.log.swap(end - 2, end - 1);
    rehash(&mut other);
    third.settle(&mut other);
    first.settle(&mut relay);
    second.settle(&mut relay);
    assert!(
        [&first, &second, &third]
            .iter()
            .all(|side| misbehaviors(side).is_empty()),
        "no device can detect it yet"
    );
    // The third device's first message reveals the fork.
    push(&mut third, &mut other, "three");
    let (device, envelope, _) = other.log.last().unwrap().clone();
    eprintln!(
        "known {:?} {:?} events {:?}",
        third.engine.state().inbox().latest_chain(),
        first.engine.state().inbox().latest_chain(),
        third.events
    );
    relay.push(device, vec![envelope]);
    for side in [&mut first, &mut second] {
        side.receive(&relay);
        assert_eq!(
            misbehaviors(side),
            [&RelayMisbehavior::DivergentLog(fork + 1)],
            "{:?}",
            side.events
        );
    }
}

#[test]
fn silent_rollback_is_distinguished_from_restore() {
    for restored in [false, true] {
        let (mut first, mut second, mut relay) = pair(1);
        second.settle(&mut relay);
        first.settle(&mut relay);
        let mut backup = relay.clone();
        push(&mut second, &mut relay, "lost");
        push(&mut first, &mut relay, "own");
        third(&mut first, &mut relay);
        first.settle(&mut relay);
        let (reached, known) = (
            first.engine.state().inbox().received_through(),
            relay.entries.len() as u64,
        );
        backup.epoch += u8::from(restored);
        let (head, count) = (backup.log.len() as u64, backup.entries.len() as u64);
        first.disconnect();
        first.connect(&backup);
        first.step(&mut backup);
        if restored {
            assert!(
                misbehaviors(&first).is_empty(),
                "{:?}",
                misbehaviors(&first)
            );
            assert!(first.events.contains(&Event::RelayRestored));
        } else {
            let back = [
                RelayMisbehavior::MembershipRolledBack {
                    from: known,
                    to: count,
                },
                RelayMisbehavior::RolledBack {
                    from: reached,
                    to: head,
                },
            ];
            assert_eq!(misbehaviors(&first), back.iter().collect::<Vec<_>>());
        }
        let kinds: Vec<_> = first
            .engine
            .state()
            .alerts()
            .iter()
            .map(|alert| alert.restored)
            .collect();
        assert!(
            kinds.iter().all(|kind| *kind == restored) && !kinds.is_empty(),
            "{kinds:?}"
        );
        // In both cases, entries and changes that the relay lost are sent again.
        while first.step(&mut backup) {}
        assert_eq!(backup.entries.len() as u64, known);
        second.settle(&mut backup);
        assert!(second.applied.contains(&Bytes::from_static(b"own")));
        let forgot = misbehaviors(&second)
            .iter()
            .any(|misbehavior| matches!(misbehavior, RelayMisbehavior::StoredPushesLost { .. }));
        assert_ne!(
            forgot, restored,
            "though others had filled the place of what it lost"
        );
    }
}

#[test]
fn hidden_membership_entries_are_detected() {
    let (mut first, mut second, mut relay) = pair(1);
    second.settle(&mut relay);
    let known = relay.entries.len() as u64;
    third(&mut first, &mut relay);
    push(&mut first, &mut relay, "one");
    second.receive(&relay);
    assert!(
        misbehaviors(&second).contains(&&RelayMisbehavior::MembershipHidden {
            shown: known,
            seen: known + 1
        })
    );
}

/// An envelope forged with these secrets in another device's name.
fn forge(
    account: &AccountView,
    key_epoch: u32,
    sender: DeviceKey,
    push_number: u64,
    membership_count: u64,
) -> Envelope {
    let binding = Binding {
        account: account.account(),
        key_epoch,
        sender,
        recipient: None,
    };
    let membership_head = account.head_at(membership_count).unwrap().to_wire();
    let heads = Heads {
        membership_count,
        membership_head,
        ..Heads::default()
    };
    let header = Header {
        push_number,
        heads: Some(heads),
        ..Header::default()
    };
    let keys = account.epoch_keys(key_epoch).expect("known to the forger");
    let sealed = seal(keys, &binding, &header, b"forged", &[5; 32]).unwrap();
    Envelope {
        push_number,
        sealed,
        recipient: Bytes::new(),
    }
}

#[test]
fn removed_device_cannot_forge_under_old_epoch() {
    let (mut first, mut second, mut relay) = pair(1);
    let mut third = third(&mut first, &mut relay);
    for side in [&mut second, &mut third] {
        side.settle(&mut relay);
    }
    remove(&mut first, third.device(), &mut relay);
    let last = push(&mut first, &mut relay, "new secrets");
    second.settle(&mut relay);
    assert!(
        misbehaviors(&second).is_empty()
            && second
                .applied
                .ends_with(&[Bytes::from_static(b"new secrets")])
    );
    let before = second.applied.len();
    let known = third.engine.state().account();
    assert!(
        known.epoch_keys(1).is_none(),
        "it was not given the new secret"
    );
    let reason = |side: &TestDevice| match side.events.last() {
        Some(Event::UndecryptableEnvelope { reason, .. }) => reason.clone(),
        other => panic!("{other:?}"),
    };
    let relay_makes = |relay: &mut NaiveRelay, side: &mut TestDevice, envelope| {
        relay.push(first.device(), vec![envelope]);
        side.receive(relay);
        side.engine.flush_acks(side.now_ms);
    };
    relay_makes(
        &mut relay,
        &mut second,
        forge(known, 0, first.device(), last + 1, 3),
    );
    assert_eq!(reason(&second), UndecryptableReason::OldKeyEpoch(0));
    // To claim it had seen the removal, it would need a secret that it does not have.
    let longer = first.engine.state().account();
    relay_makes(
        &mut relay,
        &mut second,
        forge(longer, 0, first.device(), last + 2, 4),
    );
    assert_eq!(reason(&second), UndecryptableReason::Heads);
    // The first rule also holds after a crash, with and without compaction.
    for compacted in [false, true] {
        second.crash(compacted);
        second.settle(&mut relay);
        let number = relay.pushed[&first.device()] + 1;
        relay_makes(
            &mut relay,
            &mut second,
            forge(known, 0, first.device(), number, 3),
        );
        assert_eq!(reason(&second), UndecryptableReason::OldKeyEpoch(0));
    }
    assert_eq!(
        second.applied.len(),
        before,
        "nothing forged was handed out"
    );
}

#[test]
fn push_waits_for_complete_membership_log() {
    let (mut first, mut second, mut relay) = pair(1);
    let third = third(&mut first, &mut relay);
    second.settle(&mut relay);
    second.disconnect();
    remove(&mut first, third.device(), &mut relay);
    second.push(Bytes::from_static(b"written while offline"));
    second.connect(&relay);
    let Some(DeviceFrame::Authenticate(proof)) = second.to_relay.pop_front() else {
        panic!("it proves itself")
    };
    let mut answers = relay
        .answer(second.device(), DeviceFrame::Authenticate(proof))
        .into_iter();
    second
        .engine
        .handle_frame(answers.next().unwrap(), second.now_ms);
    second.drain();
    assert!(
        second.engine.is_live() && second.to_relay.is_empty(),
        "{:?}",
        second.to_relay
    );
    second
        .engine
        .handle_frame(answers.next().unwrap(), second.now_ms);
    second.drain();
    while second.step(&mut relay) {}
    let sealed = &relay.log.last().unwrap().1.sealed;
    assert_eq!(crate::seal::key_epoch(sealed), Some(1));
}

#[test]
fn alert_is_kept_once_until_dismissed() {
    let (mut first, ..) = pair(1);
    first.engine.set_wall_clock(1_000);
    for _ in 0..3 {
        first
            .engine
            .report_misbehavior(RelayMisbehavior::ChainMismatch(7));
    }
    first.drain();
    for compacted in [false, true] {
        first.crash(compacted);
        let alerts: Vec<_> = first.engine.state().alerts().iter().cloned().collect();
        assert_eq!(alerts.len(), 1);
        assert_eq!((alerts[0].at_s, alerts[0].restored), (1_000, false));
    }
    first.engine.dismiss_alerts();
    first.drain();
    first.crash(false);
    assert_eq!(first.engine.state().alerts().iter().count(), 0);
    for seq in 0..100 {
        first
            .engine
            .report_misbehavior(RelayMisbehavior::ChainMismatch(seq));
    }
    let kept: Vec<_> = first.engine.state().alerts().iter().collect();
    assert_eq!(kept.len(), crate::alerts::ALERTS_MAX);
    assert!(kept.last().unwrap().message.contains("99"));
}
