//! Sessions of a recovery key.

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use graceful_protocol::EXCHANGE_PATH;
use graceful_protocol::frame::{DeviceFrame, RelayFrame, device_bytes, join};
use graceful_protocol::membership::{Membership, account_id};
use graceful_protocol::wire::{self, SignedEntry};
use graceful_protocol::{Code, Limits, VERSION};
use graceful_server::relay::Registration;
use graceful_store::{Engine as _, Options, Store};

use graceful_testing::device::Device;
use graceful_testing::fixtures::{self, RECOVERY};
use graceful_testing::server::{self, TestServer};

/// Device 1 of an account with a recovery key, and the account's log.
async fn created(server: &TestServer) -> (Device, Vec<SignedEntry>) {
    let mut device = Device::dial(server, 1, 1).await;
    device.account = account_id(&fixtures::recoverable(1));
    let found = wire::CreateAccount {
        authenticate: Some(device.proof()),
        entry: Some(fixtures::recoverable(1)),
        invite: String::new(),
    };
    device.send(DeviceFrame::CreateAccount(found)).await;
    device.welcome().await;
    (device, vec![fixtures::recoverable(1)])
}

fn replay(log: &[SignedEntry]) -> Membership {
    Membership::replay(log).expect("a log")
}

/// Appends the next entry and waits until it is stored.
async fn extend(device: &mut Device, log: &mut Vec<SignedEntry>, entry: SignedEntry) {
    let index = log.len() as u64;
    device.append(index, entry.clone()).await;
    device.shown(index).await;
    log.push(entry);
}

async fn come(server: &TestServer, number: u8) -> Device {
    let mut device = Device::dial(server, number, 1).await;
    device.account = account_id(&fixtures::recoverable(1));
    device.send(DeviceFrame::Authenticate(device.proof())).await;
    device
}

/// The announced count, and the log as far as that.
async fn whole_log(device: &mut Device) -> Vec<SignedEntry> {
    let RelayFrame::RecoveryAccepted(recovering) = device.next().await else {
        panic!("recovering comes first")
    };
    let mut log = Vec::new();
    while (log.len() as u64) < recovering.membership_count {
        let RelayFrame::Membership(membership) = device.next().await else {
            panic!("then the log")
        };
        assert_eq!(membership.first, log.len() as u64);
        log.extend(membership.entries);
    }
    log
}

#[tokio::test]
async fn recovery_key_reads_log_and_adds_device() {
    let server = server::open(server::options()).await;
    let (mut one, mut log) = created(&server).await;
    for number in 2..=4 {
        let entry = fixtures::adding(&replay(&log), 1, number);
        extend(&mut one, &mut log, entry).await;
    }
    let entry = fixtures::removing(&replay(&log), 1, 4);
    extend(&mut one, &mut log, entry).await;
    one.push(vec![fixtures::pushed(1, 71, 300, None)]).await;
    one.stored().await;

    let mut words = Device::with_recovery_key(&server, 1).await;
    assert_eq!(whole_log(&mut words).await, log);
    words
        .send(DeviceFrame::Ping(wire::Ping { number: 4 }))
        .await;
    assert_eq!(
        words.next().await,
        RelayFrame::Pong(wire::Pong { number: 4 })
    );
    let entry = fixtures::adding(&replay(&log), RECOVERY, 5);
    extend(&mut words, &mut log, entry.clone()).await;
    // IncomingEnvelope again, as after a lost answer.
    words.append(5, entry).await;
    words.shown(5).await;
    // The other devices are informed.
    one.shown(5).await;

    let mut five = come(&server, 5).await;
    assert_eq!(five.welcome().await.membership_count, 6);
    assert_eq!(
        five.delivered().await.envelopes[0].sealed,
        fixtures::sealed(71, 300)
    );

    // A lost device is removed with the words, too: it is cut off, and stays out.
    let entry = fixtures::removing(&replay(&log), RECOVERY, 1);
    extend(&mut words, &mut log, entry).await;
    one.ends(Code::DeviceRemoved, 4403).await;
    come(&server, 1).await.ends(Code::NotAMember, 4401).await;
    five.shown(6).await;
    let mut again = Device::with_recovery_key(&server, 1).await;
    assert_eq!(whole_log(&mut again).await, log);
}

#[tokio::test]
async fn long_membership_log_spans_several_frames() {
    let limits = Limits {
        account_devices_max: 200,
        membership_entries_max: 2_000,
        frame_bytes_max: 64 * 1024,
        ..Limits::default()
    };
    let server = server::open_with(server::options(), limits, Registration::Open).await;
    let (mut one, mut log) = created(&server).await;
    let mut membership = replay(&log);
    let mut next = |entry: SignedEntry, membership: &mut Membership| {
        membership.append(&entry).expect("follows");
        log.push(entry);
    };
    for number in 2..100 {
        next(fixtures::adding(&membership, 1, number), &mut membership);
    }
    // Each removal wraps a secret for each of those that remain: about 11 KB.
    for number in 70..100 {
        next(fixtures::removing(&membership, 1, number), &mut membership);
    }
    for (index, entry) in (1..).zip(&log[1..]) {
        one.append(index, entry.clone()).await;
        one.shown(index).await;
    }
    let mut words = Device::with_recovery_key(&server, 1).await;
    let RelayFrame::RecoveryAccepted(recovering) = words.next().await else {
        panic!("recovering comes first")
    };
    assert_eq!(recovering.membership_count, log.len() as u64);
    let (mut shown, mut frames) = (Vec::new(), 0);
    while shown.len() < log.len() {
        let RelayFrame::Membership(membership) = words.next().await else {
            panic!("then the log")
        };
        let bytes: usize = membership
            .entries
            .iter()
            .map(|entry| entry.body.len())
            .sum();
        assert!(
            bytes <= 64 * 1024,
            "a frame has at most that many here, not {bytes}"
        );
        shown.extend(membership.entries);
        frames += 1;
    }
    assert!(shown == log && frames > 1, "{frames} frames");
}

#[tokio::test]
async fn recovery_failures_are_byte_identical() {
    let server = server::open(server::options()).await;
    created(&server).await;
    let said = |proof: fn(&Device) -> wire::RecoverAccount| {
        let server = &server;
        async move {
            let mut stranger = Device::dial(server, RECOVERY, 1).await;
            stranger
                .send(DeviceFrame::RecoverAccount(proof(&stranger)))
                .await;
            stranger.all_until_closed().await
        }
    };
    let unknown =
        said(|device| device.recovery_proof_for("127.0.0.1", 9, &fixtures::signing_key(9))).await;
    let [RelayFrame::Refusal(refusal)] = &unknown.0[..] else {
        panic!("one refusal: {unknown:?}")
    };
    assert_eq!((refusal.code(), unknown.1), (Code::NotAMember, 4401));
    let wrong: [fn(&Device) -> wire::RecoverAccount; 5] = [
        |device| {
            device.recovery_proof_for("127.0.0.1", RECOVERY, &SigningKey::from_bytes(&[5; 32]))
        },
        |device| wire::RecoverAccount {
            signature: Bytes::new(),
            ..device.recovery_proof()
        },
        // Of another greeting.
        |device| {
            let mut device_proof = device.recovery_proof();
            let mut signature = device_proof.signature.to_vec();
            signature[0] ^= 1;
            device_proof.signature = signature.into();
            device_proof
        },
        // A device of the account is not its recovery key.
        |device| device.recovery_proof_for("127.0.0.1", 1, &fixtures::signing_key(1)),
        // Signed for the other purpose.
        |device| {
            let key = fixtures::signing_key(RECOVERY);
            let signature = device.proof_for("127.0.0.1", &key).signature;
            wire::RecoverAccount {
                signature,
                ..device.recovery_proof()
            }
        },
    ];
    for proof in wrong {
        assert_eq!(said(proof).await, unknown);
    }
    let recorded = Device::dial(&server, RECOVERY, 1).await.recovery_proof();
    let mut replayed = Device::dial(&server, RECOVERY, 1).await;
    replayed.send(DeviceFrame::RecoverAccount(recorded)).await;
    assert_eq!(replayed.all_until_closed().await, unknown);
}

#[tokio::test]
async fn recovery_for_other_host_or_version_is_refused() {
    let server = server::open(server::options()).await;
    created(&server).await;
    let key = fixtures::signing_key(RECOVERY);
    let mut elsewhere = Device::dial(&server, RECOVERY, 1).await;
    let proof = elsewhere.recovery_proof_for("relay.example.org", RECOVERY, &key);
    elsewhere.send(DeviceFrame::RecoverAccount(proof)).await;
    elsewhere.ends(Code::WrongHost, 4421).await;
    let mut newer = Device::dial(&server, RECOVERY, 1).await;
    let proof = wire::RecoverAccount {
        version: VERSION + 1,
        ..newer.recovery_proof()
    };
    newer.send(DeviceFrame::RecoverAccount(proof)).await;
    newer.ends(Code::VersionUnsupported, 4406).await;
    let mut short = Device::dial(&server, RECOVERY, 1).await;
    let proof = wire::RecoverAccount {
        recovery_key: "short".into(),
        ..short.recovery_proof()
    };
    short.send(DeviceFrame::RecoverAccount(proof)).await;
    short.ends(Code::Malformed, 4400).await;
}

#[tokio::test]
async fn recovery_key_may_only_append_membership() {
    let server = server::open(server::options()).await;
    let (mut one, mut log) = created(&server).await;
    let account = one.account.to_wire();
    let id = || Bytes::from(vec![9; 16]);
    let frames = [
        DeviceFrame::Push(wire::Push {
            envelopes: vec![fixtures::pushed(1, 1, 300, None)],
        }),
        DeviceFrame::Ack(wire::Ack { through: 0 }),
        DeviceFrame::DeleteThrough(wire::DeleteThrough { through: u64::MAX }),
        DeviceFrame::DeleteAccount(wire::DeleteAccount { account }),
        DeviceFrame::OpenRendezvous(wire::OpenRendezvous {
            id: id(),
            lifetime_s: 9,
        }),
        DeviceFrame::JoinRendezvous(wire::JoinRendezvous {
            id: id(),
            sealed: Bytes::new(),
        }),
        DeviceFrame::RendezvousReply(wire::RendezvousReply {
            id: id(),
            sealed: Bytes::new(),
        }),
        DeviceFrame::Authenticate(one.proof()),
        DeviceFrame::CreateAccount(one.create_account("")),
        DeviceFrame::RecoverAccount(one.recovery_proof()),
        // A member's entry, sent by a non-member.
        DeviceFrame::AppendMembership(wire::AppendMembership {
            first: 1,
            entries: vec![fixtures::adding(&replay(&log), 1, 2)],
        }),
    ];
    for frame in frames {
        let mut words = Device::with_recovery_key(&server, 1).await;
        whole_log(&mut words).await;
        words.send(frame).await;
        words.ends(Code::UnexpectedFrame, 4400).await;
    }
    // Nor does a device get to show the key when it is known already.
    let mut known = come(&server, 1).await;
    known.welcome().await;
    known
        .send(DeviceFrame::RecoverAccount(known.recovery_proof()))
        .await;
    known.ends(Code::UnexpectedFrame, 4400).await;

    // Invalid entries change nothing, and the session continues.
    let mut words = Device::with_recovery_key(&server, 1).await;
    whole_log(&mut words).await;
    let right = fixtures::adding(&replay(&log), RECOVERY, 2);
    for wrong in [
        SignedEntry {
            body: "nonsense".into(),
            signature: Bytes::new(),
        },
        SignedEntry {
            signature: vec![0; 64].into(),
            ..right.clone()
        },
        fixtures::adding(&replay(&log), RECOVERY, 1),
        fixtures::adding(&replay(&log), RECOVERY, RECOVERY),
        fixtures::removing(&replay(&log), RECOVERY, 9),
    ] {
        words.append(1, wrong).await;
        assert_eq!(words.refusal().await.code(), Code::InvalidMembership);
    }
    extend(&mut words, &mut log, right).await;
    one.shown(1).await;
}

#[tokio::test]
async fn concurrent_append_gets_missing_entries() {
    let server = server::open(server::options()).await;
    let (mut one, mut log) = created(&server).await;
    let mut words = Device::with_recovery_key(&server, 1).await;
    whole_log(&mut words).await;
    let late = fixtures::adding(&replay(&log), RECOVERY, 3);
    let entry = fixtures::adding(&replay(&log), 1, 2);
    extend(&mut one, &mut log, entry).await;
    // Told of it as every device is.
    words.shown(1).await;
    words.append(1, late).await;
    let refusal = words.refusal().await;
    assert_eq!(
        (refusal.code(), refusal.expected),
        (Code::StaleMembership, 2)
    );
    let entry = fixtures::adding(&replay(&log), RECOVERY, 3);
    extend(&mut words, &mut log, entry).await;
    assert_eq!(come(&server, 3).await.welcome().await.device_index, 2);
}

#[tokio::test]
async fn genesis_without_recovery_consent_is_refused() {
    let server = server::open(server::options()).await;
    let found = |number: u8, entry: SignedEntry| {
        let server = &server;
        async move {
            let mut device = Device::dial(server, number, number).await;
            device.account = account_id(&entry);
            let authenticate = Some(device.proof());
            let found = wire::CreateAccount {
                authenticate,
                entry: Some(entry),
                invite: String::new(),
            };
            device.send(DeviceFrame::CreateAccount(found)).await;
            device
        }
    };
    // A reader of the log knows all of this, but cannot sign for it.
    let text = found(2, fixtures::recoverable_without_consent(2))
        .await
        .ends(Code::InvalidMembership, 4400)
        .await;
    assert!(text.contains("did not sign this genesis entry"), "{text}");
    created(&server).await;
    // The owner of the words cannot, either: they lead to one account.
    let text = found(2, fixtures::recoverable(2))
        .await
        .ends(Code::InvalidMembership, 4400)
        .await;
    assert!(text.contains("another account"), "{text}");
    let mut words = Device::with_recovery_key(&server, 1).await;
    assert_eq!(whole_log(&mut words).await, [fixtures::recoverable(1)]);
    assert_eq!(server.relay.status().expect("reads").accounts, 1);
}

#[tokio::test]
async fn deleted_account_forgets_recovery_key() {
    let mut server = server::open(server::options()).await;
    let (mut one, _) = created(&server).await;
    let mut words = Device::with_recovery_key(&server, 1).await;
    whole_log(&mut words).await;
    let account = one.account.to_wire();
    one.send(DeviceFrame::DeleteAccount(wire::DeleteAccount { account }))
        .await;
    one.wait(|frame| matches!(frame, RelayFrame::Deleted(_)).then_some(()))
        .await;
    words.ends(Code::AccountDeleted, 4410).await;
    Device::with_recovery_key(&server, 1)
        .await
        .ends(Code::NotAMember, 4401)
        .await;
    drop(one);
    let folder = std::mem::replace(&mut server.folder, tempfile::tempdir().expect("a folder"));
    server.stop().await;
    let store = Store::open(folder.path(), Options::default()).expect("a store");
    assert_eq!(store.account_row_count().expect("rows"), 0);
}

#[tokio::test]
async fn recovered_device_is_readmitted_after_restore() {
    let server = server::open(server::options()).await;
    let (_one, mut log) = created(&server).await;
    let mut words = Device::with_recovery_key(&server, 1).await;
    whole_log(&mut words).await;
    let entry = fixtures::adding(&replay(&log), RECOVERY, 2);
    extend(&mut words, &mut log, entry).await;
    // A relay as it was before that, as from a backup.
    let restored = server::open(server::options()).await;
    created(&restored).await;
    let mut two = Device::dial(&restored, 2, 1).await;
    two.account = account_id(&log[0]);
    two.send(DeviceFrame::Authenticate(two.proof())).await;
    two.ends(Code::NotAMember, 4401).await;
    let mut two = Device::dial(&restored, 2, 1).await;
    two.account = account_id(&log[0]);
    let proof = wire::Authenticate {
        entries: log.clone(),
        ..two.proof()
    };
    two.send(DeviceFrame::Authenticate(proof)).await;
    assert_eq!(two.welcome().await.membership_count, 2);
    let mut words = Device::with_recovery_key(&restored, 1).await;
    assert_eq!(whole_log(&mut words).await, log);
}

#[tokio::test]
async fn recovery_in_exchange_is_refused() {
    let server = server::open(server::options()).await;
    created(&server).await;
    let RelayFrame::Greeting(greeting) = server
        .ask("GET", EXCHANGE_PATH, "")
        .await
        .frames()
        .remove(0)
    else {
        panic!("greeted");
    };
    let mut device = Device::dial(&server, RECOVERY, 1).await;
    device.greeting = greeting;
    let frame = device_bytes(DeviceFrame::RecoverAccount(device.recovery_proof()));
    let answer = server::exchange(&server, &device.greeting.nonce, &join([&frame])).await;
    assert_eq!(answer.refusal(), Code::UnexpectedFrame);
}
