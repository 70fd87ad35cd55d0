//! Chunked changes: complete or reported, never silently lost.

use super::*;
use crate::seal::content_bytes_max;

/// A payload that takes this many small envelopes.
fn content(mark: u8, parts: usize) -> Bytes {
    vec![mark; SMALL_CONTENT_BYTES * parts - 1].into()
}

/// Two devices and a relay with small envelopes, all up to date.
fn small_pair() -> (TestDevice, TestDevice, NaiveRelay) {
    let (mut first, mut second, mut relay) = pair(1);
    relay.envelope_bytes_max = SMALL_ENVELOPE_BYTES;
    for side in [&mut first, &mut second] {
        side.settle(&mut relay);
    }
    (first, second, relay)
}

fn unfinished(side: &TestDevice) -> usize {
    side.gaps
        .iter()
        .filter(|gap| gap.reason == GapReason::Unfinished)
        .count()
}

#[test]
fn small_envelope_sizes_are_exact() {
    assert_eq!(
        content_bytes_max(SMALL_ENVELOPE_BYTES),
        Some(SMALL_CONTENT_BYTES)
    );
}

#[derive(Debug, Clone)]
enum Fault {
    Step(Step),
    /// All but this many of the newest envelopes expire.
    Expire(u64),
}

fn faults() -> impl Strategy<Value = Vec<Fault>> {
    let trouble = prop_oneof![
        12 => steps().prop_map(|steps| steps.into_iter().take(8).map(Fault::Step).collect::<Vec<_>>()),
        1 => (0_u64..6).prop_map(|left| vec![Fault::Expire(left)]),
    ];
    prop::collection::vec(trouble, 0..12).prop_map(|faults| faults.concat())
}

fn seq_of(relay: &NaiveRelay, sender: DeviceKey, push_number: u64) -> u64 {
    let pushed = |(from, envelope, _): &&(DeviceKey, Envelope, Chain)| {
        *from == sender && envelope.push_number == push_number
    };
    let at = relay
        .log
        .iter()
        .position(|logged| pushed(&logged))
        .expect("it was pushed");
    at as u64 + 1
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn expiry_mid_change_is_reported(seed in 0_u64..1_000, faults in faults()) {
        let (first, second, mut relay) = pair(seed);
        relay.envelope_bytes_max = SMALL_ENVELOPE_BYTES;
        let mut sides = [first, second];
        for trouble in &faults {
            match trouble {
                Fault::Step(step) => run_steps(&mut sides, &mut relay, std::slice::from_ref(step)),
                Fault::Expire(left) => {
                    let expired = (relay.log.len() as u64).saturating_sub(*left);
                    relay.expired_through = relay.expired_through.max(expired);
                }
            }
        }
        for side in [0, 1, 0] {
            sides[side].settle(&mut relay);
        }
        for (sender, receiver) in [(&sides[0], &sides[1]), (&sides[1], &sides[0])] {
            let mut applied = receiver.applied.iter().peekable();
            for (content, number) in sender.pushed.iter().zip(&sender.numbers) {
                if applied.next_if_eq(&content).is_some() {
                    continue;
                }
                let seq = seq_of(&relay, sender.device(), *number);
                let told = receiver.gaps.iter().any(|gap| (gap.from..=gap.through).contains(&seq));
                prop_assert!(told, "seq {} is in none of {:?}", seq, receiver.gaps);
            }
            prop_assert_eq!(applied.next(), None);
        }
    }
}

/// The first chunks of a change arrive and the rest never will.
fn torn() -> (TestDevice, TestDevice, NaiveRelay) {
    let (mut first, mut second, mut relay) = small_pair();
    first.push(content(1, 5));
    first.step(&mut relay);
    first.disconnect();
    second.receive(&relay);
    assert!(second.inbox.is_empty());
    let number = first.numbers[0];
    first.engine.state.outbox.drop_content(number);
    first.push(Bytes::from_static(b"small"));
    first.settle(&mut relay);
    (first, second, relay)
}

#[test]
fn unfinished_change_is_reported_once_before_next() {
    let (first, mut second, relay) = torn();
    second.receive(&relay);
    let Some(Incoming::Gap(gap)) = second.inbox.front() else {
        panic!("{:?}", second.inbox)
    };
    assert_eq!(
        (gap.reason, gap.position.sender),
        (GapReason::Unfinished, first.device())
    );
    let parts = first.numbers[0] - 4..first.numbers[0] - 1;
    let seq = |number| seq_of(&relay, first.device(), number);
    assert_eq!(
        (gap.from, gap.through),
        (seq(parts.start), seq(parts.end - 1))
    );
    while !second.inbox.is_empty() {
        second.apply_one();
    }
    assert_eq!((second.applied.len(), unfinished(&second)), (1, 1));
}

#[test]
fn unapplied_gap_is_reported_again_after_crash() {
    for (told, expected) in [(false, 1), (true, 1)] {
        for compacted in [false, true] {
            let (_, mut second, mut relay) = torn();
            second.receive(&relay);
            if told {
                second.apply_one();
            }
            second.crash(compacted);
            second.settle(&mut relay);
            assert_eq!(second.applied, [Bytes::from_static(b"small")]);
            assert_eq!(
                unfinished(&second),
                expected,
                "told before: {told}, compacted: {compacted}"
            );
            assert_eq!(second.engine.state().reassembler.records().count(), 0);
        }
    }
}

#[test]
fn app_recorded_position_suppresses_repeated_gap() {
    let (_, mut second, mut relay) = torn();
    second.receive(&relay);
    let told = *second.inbox[0].position();
    // The app applied it and crashed before it acknowledged.
    second.crash(false);
    second.engine.state.applied_by_app(&told);
    second.settle(&mut relay);
    assert_eq!((second.applied.len(), unfinished(&second)), (1, 0));
}

#[test]
fn reassembled_change_is_redelivered_until_applied() {
    let (mut first, mut second, mut relay) = small_pair();
    first.push(content(1, 4));
    first.push(content(2, 3));
    while first.step(&mut relay) {}
    second.receive(&relay);
    let before = *second.inbox[0].position();
    second.crash(true);
    second.connect(&relay);
    while second.step(&mut relay) {}
    second.receive(&relay);
    assert_eq!(
        (second.inbox.len(), second.inbox[0].position()),
        (2, &before)
    );
    second.apply_one();
    second.crash(true);
    second.settle(&mut relay);
    assert_eq!(second.applied, [content(1, 4), content(2, 3)]);
    assert_eq!(second.engine.state().reassembler.bytes(), 0);
}

#[test]
fn chunks_are_acknowledged_on_arrival() {
    let (mut first, mut second, mut relay) = small_pair();
    first.push(content(1, 6));
    let before = relay.log.len() as u64;
    for frames in 1..=2 {
        first.step(&mut relay);
        second.receive(&relay);
        second.now_ms += ACK_DELAY_MS;
        second.engine.handle_timeout(second.now_ms);
        second.drain();
        while second.step(&mut relay) {}
        // The last chunk is acknowledged when the app has the change.
        let expected = before + (frames * 3).min(5);
        assert_eq!(relay.cursors[&second.device()], expected);
    }
    second.apply_one();
    while second.step(&mut relay) {}
    assert_eq!(relay.cursors[&second.device()], before + 6);
}

#[test]
fn shrunken_limit_drops_chunked_change_whole() {
    let (mut first, mut second, mut relay) = small_pair();
    first.push(content(1, 6));
    first.push(Bytes::from_static(b"small"));
    first.step(&mut relay);
    first.disconnect();
    relay.envelope_bytes_max = 600;
    first.connect(&relay);
    first.step(&mut relay);
    first.to_relay.clear();
    let refused = first.numbers[0] - 2;
    let refusal =
        graceful_protocol::Refusal::new(Code::EnvelopeTooLarge, "no").push_number(refused);
    first
        .engine
        .handle_frame(RelayFrame::Refusal(refusal.into()), first.now_ms);
    first.drain();
    let dropped: Vec<_> = first
        .events
        .iter()
        .filter(|event| matches!(event, Event::ChangeDropped { .. }))
        .collect();
    let [Event::ChangeDropped { push_number, .. }] = dropped[..] else {
        panic!("{dropped:?}")
    };
    assert_eq!(*push_number, first.numbers[0] - 5);
    first.settle(&mut relay);
    assert_eq!(first.engine.state().outbox().waiting(), 0);
    second.settle(&mut relay);
    assert_eq!(
        (second.applied.as_slice(), unfinished(&second)),
        (&[Bytes::from_static(b"small")][..], 1)
    );
}

#[test]
fn device_joining_mid_change_gets_gap_at_last_chunk() {
    let (mut first, mut second, mut relay) = small_pair();
    first.push(content(1, 6));
    first.step(&mut relay);
    // The relay deleted what every device had. This device never had it.
    relay.expired_through = relay.log.len() as u64;
    second.sent_through = relay.expired_through;
    relay.cursors.insert(second.device(), relay.expired_through);
    while first.step(&mut relay) {}
    first.push(Bytes::from_static(b"small"));
    while first.step(&mut relay) {}
    second.receive(&relay);
    let Some(Incoming::Gap(gap)) = second.inbox.front() else {
        panic!("{:?}", second.inbox)
    };
    // At the last chunk's position: a device asked from now on has the whole change.
    assert_eq!(gap.position.push_number, first.numbers[0]);
    assert_eq!(
        gap.position.seq,
        seq_of(&relay, first.device(), first.numbers[0])
    );
    second.crash(true);
    second.settle(&mut relay);
    assert_eq!((second.applied.len(), unfinished(&second)), (1, 1));
}

#[test]
fn retained_changes_are_complete() {
    let (mut first, _, mut relay) = small_pair();
    first.push(content(1, 6));
    first.push(Bytes::from_static(b"small"));
    first.step(&mut relay);
    let kept = |side: &TestDevice| -> Vec<_> {
        let kept = side.engine.retained_changes(0).into_iter();
        kept.map(|(number, change)| (number, change.content))
            .collect()
    };
    let expected: Vec<_> = first
        .numbers
        .iter()
        .copied()
        .zip(first.pushed.iter().cloned())
        .collect();
    assert_eq!(kept(&first), expected);
    first.crash(true);
    assert_eq!(kept(&first), expected);
    assert_eq!(first.engine.retained_changes(expected[0].0).len(), 1);
}

#[test]
fn applied_gap_is_not_repeated_before_next_change() {
    for compacted in [false, true] {
        let (mut first, mut second, mut relay) = small_pair();
        let mut other = copy(&first);
        first.push(content(1, 5));
        first.step(&mut relay);
        first.disconnect();
        second.receive(&relay);
        // An older copy of the profile continues under the number of the fourth chunk.
        other.push(Bytes::from_static(b"small"));
        other.settle(&mut relay);
        second.receive(&relay);
        assert_eq!(second.inbox.len(), 2, "{:?}", second.inbox);
        second.apply_one();
        second.crash(compacted);
        second.settle(&mut relay);
        assert_eq!(
            (second.applied.len(), unfinished(&second)),
            (1, 1),
            "compacted: {compacted}"
        );
    }
}
