//! Snapshot requests and answers.

use super::*;

fn wanted(side: &TestDevice) -> Option<DeviceKey> {
    side.inbox.iter().find_map(|incoming| match incoming {
        Incoming::SnapshotRequest { device, .. } => Some(*device),
        _ => None,
    })
}

#[test]
fn snapshot_request_is_redelivered_until_applied() {
    let (mut first, mut second, mut relay) = pair(1);
    first.settle(&mut relay);
    second.settle(&mut relay);
    second.push(Bytes::from_static(b"before"));
    // No sender is known yet: the request goes to the device that added this one.
    second.engine.request_snapshot(None, second.now_ms).unwrap();
    second.drain();
    second.crash(true);
    second.settle(&mut relay);
    first.receive(&relay);
    assert_eq!(wanted(&first), Some(second.device()));
    assert!(matches!(first.inbox[0], Incoming::Change(_)));
    first.apply_one();
    first.crash(true);
    first.connect(&relay);
    while first.step(&mut relay) {}
    first.receive(&relay);
    assert_eq!(
        (first.inbox.len(), wanted(&first)),
        (1, Some(second.device()))
    );
    let answer = Change::snapshot(second.device(), "everything");
    first.engine.enqueue([answer], first.now_ms).unwrap();
    first.apply_one();
    while first.step(&mut relay) {}
    first.crash(false);
    first.settle(&mut relay);
    assert_eq!(wanted(&first), None);
    second.settle(&mut relay);
    assert_eq!(second.applied, [Bytes::from_static(b"everything")]);
    assert!(saw_no_misbehavior(&first) && saw_no_misbehavior(&second));
}

#[test]
fn snapshot_request_goes_to_last_sender_after_restart() {
    let (mut first, mut second, mut relay) = pair(1);
    let third = DeviceKeys::random(&mut SeededRng(9));
    let (device, agreement) = (third.device(), third.agreement().public());
    let joining = Joining {
        device,
        agreement,
        name: "Tablet".to_owned(),
    };
    first.engine.add_device(joining, first.now_ms).unwrap();
    first.drain();
    while first.step(&mut relay) {}
    first.settle(&mut relay);
    let account = first.engine.bundle().unwrap();
    let mut third = TestDevice::new(
        Identity {
            keys: third,
            device_id: "tablet".to_owned(),
            account,
        },
        3_000,
    );
    second.settle(&mut relay);
    // Each device is heard last once, so that key order does not matter.
    for round in 0..4 {
        let sender = if round % 2 == 0 {
            &mut second
        } else {
            &mut first
        };
        sender.push(Bytes::from_static(b"hello"));
        sender.settle(&mut relay);
        let expected = sender.device();
        third.settle(&mut relay);
        third.crash(round > 1);
        third.engine.request_snapshot(None, third.now_ms).unwrap();
        third.drain();
        let asked = third
            .engine
            .state()
            .outbox()
            .changes()
            .last()
            .unwrap()
            .recipient
            .clone();
        assert_eq!(*asked, *expected.as_bytes(), "round {round}");
    }
    let own = third
        .engine
        .request_snapshot(Some(device), third.now_ms)
        .unwrap_err();
    assert_eq!(own, PushError::Recipient);
}

#[test]
fn snapshot_request_on_only_device_fails() {
    let mut alone = TestDevice::new(Identity::create("desk", "Desk", &mut SeededRng(1)), 1);
    assert_eq!(
        alone.engine.request_snapshot(None, 0),
        Err(PushError::Alone)
    );
}

/// A third device joins during a chunked change that the others have partly acknowledged.
#[test]
fn joining_mid_change_gets_it_by_snapshot() {
    let (mut first, mut second, mut relay) = pair(1);
    relay.envelope_bytes_max = SMALL_ENVELOPE_BYTES;
    first.settle(&mut relay);
    second.settle(&mut relay);
    let large = Bytes::from(vec![7; SMALL_CONTENT_BYTES * 6]);
    second.push(large.clone());
    second.step(&mut relay);
    first.receive(&relay);
    // The relay deletes what both have acknowledged.
    let kept_after = relay.log.len() as u64;
    let keys = DeviceKeys::random(&mut SeededRng(9));
    let joining = Joining {
        device: keys.device(),
        agreement: keys.agreement().public(),
        name: "Tablet".to_owned(),
    };
    first.engine.add_device(joining, first.now_ms).unwrap();
    first.drain();
    while first.step(&mut relay) {}
    let account = first.engine.bundle().unwrap();
    let mut third = TestDevice::new(
        Identity {
            keys,
            device_id: "tablet".to_owned(),
            account,
        },
        3_000,
    );
    relay.cursors.insert(third.device(), kept_after);
    third.connect(&relay);
    while third.step(&mut relay) {}
    // The first device's snapshot lacks the change, which is incomplete there.
    assert!(first.applied.is_empty() && first.inbox.is_empty());
    while second.step(&mut relay) {}
    third.receive(&relay);
    third.apply_one();
    assert_eq!(
        third.gaps.iter().map(|gap| gap.reason).collect::<Vec<_>>(),
        [GapReason::Unfinished]
    );
    // The last heard device may also be new. The sender has the change.
    assert_eq!(third.gaps[0].recommended_source(), Some(second.device()));
    third
        .engine
        .request_snapshot(Some(first.device()), third.now_ms)
        .unwrap();
    third.drain();
    while third.step(&mut relay) {}
    first.receive(&relay);
    // In order: the answering device has applied the change before.
    let order: Vec<_> = first
        .inbox
        .iter()
        .map(|one| matches!(one, Incoming::Change(_)))
        .collect();
    assert_eq!(
        (order, wanted(&first)),
        (vec![true, false], Some(third.device()))
    );
    first.apply_one();
    assert_eq!(first.applied, [large]);
}
