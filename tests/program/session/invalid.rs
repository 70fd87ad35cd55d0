//! Devices that violate the protocol: each violation has its own answer, nothing is lost, and other
//! devices are unaffected.

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use graceful_protocol::frame::{DeviceFrame, RelayFrame};
use graceful_protocol::membership::Membership;
use graceful_protocol::wire::{self, Authenticate};
use graceful_protocol::{Code, Limits, VERSION};
use graceful_server::relay::Registration;

use super::valid::pair;
use graceful_testing::device::Device;
use graceful_testing::fixtures;
use graceful_testing::server::{self, TestServer};

/// Two honest devices sync one more change, in spite of whatever happened.
async fn still_syncs(one: &mut Device, two: &mut Device, number: u64) {
    one.push(vec![fixtures::pushed(number, number, 400, None)])
        .await;
    assert_eq!(one.stored().await.push_number, number);
    let deliver = two.delivered().await;
    assert_eq!(deliver.envelopes[0].sealed, fixtures::sealed(number, 400));
    two.ack(deliver.through).await;
}

async fn opening(server: &TestServer, frame: impl FnOnce(&Device) -> DeviceFrame) -> Device {
    let mut stranger = Device::dial(server, 9, 1).await;
    let frame = frame(&stranger);
    stranger.send(frame).await;
    stranger
}

fn authenticate(
    change: impl FnOnce(&Device, &mut Authenticate),
) -> impl FnOnce(&Device) -> DeviceFrame {
    |device| {
        let mut proof = device.proof();
        change(device, &mut proof);
        DeviceFrame::Authenticate(proof)
    }
}

#[tokio::test]
async fn malformed_frame_is_refused_and_harms_no_device() {
    let server = server::open(server::options()).await;
    let (mut one, mut two) = pair(&server).await;
    let bytes: [&[u8]; 5] = [b"", b"\xff\xff\xff", b"hello", &[0x0a], &[0x7a, 0x00]];
    for (number, bytes) in (1..).zip(bytes) {
        let mut stranger = Device::dial(&server, 9, 1).await;
        stranger.send_bytes(Bytes::copy_from_slice(bytes)).await;
        stranger.ends(Code::Malformed, 4400).await;
        still_syncs(&mut one, &mut two, number).await;
    }
    let many = wire::Push {
        envelopes: vec![wire::Envelope::default(); 25_000],
    };
    let (mut member, _) = Device::connect(&server, 2, 1).await;
    member.push(many.envelopes).await;
    member.ends(Code::Malformed, 4400).await;
    still_syncs(&mut one, &mut two, 6).await;
}

#[tokio::test]
async fn unexpected_frame_is_refused() {
    let server = server::open(server::options()).await;
    let (mut one, mut two) = pair(&server).await;
    opening(&server, |_| DeviceFrame::Ack(wire::Ack { through: 1 }))
        .await
        .ends(Code::UnexpectedFrame, 4400)
        .await;
    opening(&server, |_| DeviceFrame::Push(wire::Push::default()))
        .await
        .ends(Code::UnexpectedFrame, 4400)
        .await;
    let (mut again, _) = Device::connect(&server, 2, 1).await;
    again.send(DeviceFrame::Authenticate(again.proof())).await;
    again.ends(Code::UnexpectedFrame, 4400).await;
    // A second CreateAccount in an authenticated session.
    let (mut second, _) = Device::connect(&server, 1, 1).await;
    let genesis = second.create_account("");
    second.send(DeviceFrame::CreateAccount(genesis)).await;
    second.ends(Code::UnexpectedFrame, 4400).await;
    // Closing an account by a stray frame.
    let (mut stray, _) = Device::connect(&server, 2, 1).await;
    let account = fixtures::account_id(2).to_wire();
    stray
        .send(DeviceFrame::DeleteAccount(wire::DeleteAccount { account }))
        .await;
    stray.ends(Code::UnexpectedFrame, 4400).await;
    still_syncs(&mut one, &mut two, 1).await;
}

#[tokio::test]
async fn authentication_failures_are_indistinguishable() {
    let server = server::open(server::options()).await;
    let (mut one, mut two) = pair(&server).await;
    let other = fixtures::account_id(7).to_wire();
    let mut texts = Vec::new();
    let unknown_device = opening(&server, authenticate(|_, _| {})).await;
    texts.push(unknown_device.ends(Code::NotAMember, 4401).await);
    let unknown_account = {
        let mut stranger = Device::dial(&server, 1, 7).await;
        let proof = stranger.proof();
        assert_eq!(proof.account, other);
        stranger.send(DeviceFrame::Authenticate(proof)).await;
        stranger
    };
    texts.push(unknown_account.ends(Code::NotAMember, 4401).await);
    let wrong_signature = {
        let mut stranger = Device::dial(&server, 1, 1).await;
        let proof = stranger.proof_for("127.0.0.1", &SigningKey::from_bytes(&[5; 32]));
        stranger.send(DeviceFrame::Authenticate(proof)).await;
        stranger
    };
    texts.push(wrong_signature.ends(Code::NotAMember, 4401).await);
    // Somebody else's genesis entry, with a proof of one's own: the account exists already.
    let second_account = opening(&server, |device| {
        DeviceFrame::CreateAccount(wire::CreateAccount {
            authenticate: Some(device.proof()),
            entry: Some(fixtures::genesis(1)),
            invite: String::new(),
        })
    });
    texts.push(second_account.await.ends(Code::NotAMember, 4401).await);
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:?}");
    still_syncs(&mut one, &mut two, 1).await;
}

#[tokio::test]
async fn proof_for_other_host_nonce_or_version_is_refused() {
    let server = server::open(server::options()).await;
    let device = Device::create(&server, 1).await;
    let mut elsewhere = Device::dial(&server, 1, 1).await;
    let proof = elsewhere.proof_for("relay.example.org", &fixtures::signing_key(1));
    elsewhere.send(DeviceFrame::Authenticate(proof)).await;
    let text = elsewhere.ends(Code::WrongHost, 4421).await;
    assert!(text.contains("server.domains"), "{text}");

    let recorded = device.proof();
    let mut replayed = Device::dial(&server, 1, 1).await;
    replayed.send(DeviceFrame::Authenticate(recorded)).await;
    replayed.ends(Code::NotAMember, 4401).await;

    let newer = opening(
        &server,
        authenticate(|_, proof| proof.version = VERSION + 1),
    )
    .await;
    let text = newer.ends(Code::VersionUnsupported, 4406).await;
    assert!(
        text.contains("version 1") && text.contains("version 2"),
        "{text}"
    );
    let short = opening(
        &server,
        authenticate(|_, proof| proof.account = Bytes::from_static(b"short")),
    )
    .await;
    let text = short.ends(Code::Malformed, 4400).await;
    assert!(text.contains("32 bytes"), "{text}");
}

#[tokio::test]
async fn refused_push_leaves_earlier_pushes_stored() {
    let limits = Limits {
        account_envelopes_max: 3,
        push_envelopes_max: 10,
        ..Limits::default()
    };
    let server = server::open_with(server::options(), limits, Registration::Open).await;
    let (mut one, mut two) = pair(&server).await;
    let push = |numbers: std::ops::RangeInclusive<u64>| {
        numbers
            .map(|number| fixtures::pushed(number, number, 300, None))
            .collect::<Vec<_>>()
    };
    one.push(push(1..=5)).await;
    assert_eq!(one.stored().await.push_number, 3);
    let refusal = one.refusal().await;
    assert_eq!(
        (refusal.code(), refusal.push_number),
        (Code::QuotaEnvelopes, 4)
    );
    assert!(refusal.retry_after_ms > 0, "it may work later");
    one.push(push(6..=6)).await;
    let refusal = one.refusal().await;
    assert_eq!(
        (refusal.code(), refusal.expected),
        (Code::PushOutOfOrder, 4)
    );
    // The connection stays open, and there is space once the other device has its envelopes.
    let deliver = two.delivered().await;
    two.ack(deliver.through).await;
    two.push(vec![fixtures::pushed(1, 1, 300, None)]).await;
    two.stored().await;
    one.push(push(4..=5)).await;
    assert_eq!(one.stored().await.push_number, 5);

    one.push(push(6..=20)).await;
    assert_eq!(one.refusal().await.code(), Code::TooManyEnvelopes);
    one.push(vec![fixtures::pushed(6, 6, 300, Some(9))]).await;
    assert_eq!(one.refusal().await.code(), Code::UnknownRecipient);
    let plain = wire::Envelope {
        push_number: 6,
        sealed: "{\"amount\": \"12.00\"}".into(),
        ..Default::default()
    };
    one.push(vec![plain]).await;
    assert_eq!(one.refusal().await.code(), Code::NotSealed);
    one.ack(1_000).await;
    let refusal = one.refusal().await;
    assert_eq!((refusal.code(), refusal.expected), (Code::AckBeyondHead, 6));
}

#[tokio::test]
async fn invalid_membership_entry_is_refused() {
    let server = server::open(server::options()).await;
    let (mut one, mut two) = pair(&server).await;
    let mut log = Membership::from_genesis(&fixtures::genesis(1)).expect("an entry");
    let stale = fixtures::adding(&log, 1, 3);
    log.append(&fixtures::adding(&log.clone(), 1, 2))
        .expect("follows");
    one.append(1, stale.clone()).await;
    let refusal = one.refusal().await;
    assert_eq!(
        (refusal.code(), refusal.expected),
        (Code::StaleMembership, 2)
    );
    one.append(2, stale).await;
    assert_eq!(one.refusal().await.code(), Code::StaleMembership);
    for wrong in [
        fixtures::adding(&log, 9, 3),
        fixtures::adding(&log, 1, 2),
        fixtures::removing(&log, 1, 9),
        fixtures::removing(&log, 1, 1),
        wire::SignedEntry {
            signature: vec![0; 64].into(),
            ..fixtures::adding(&log, 1, 3)
        },
        wire::SignedEntry {
            body: "nonsense".into(),
            signature: Bytes::new(),
        },
    ] {
        one.append(2, wrong).await;
        let refusal = one.refusal().await;
        assert_eq!(
            refusal.code(),
            Code::InvalidMembership,
            "{}",
            refusal.message
        );
    }
    // The right one is taken, and taken again as after a lost answer.
    let right = fixtures::adding(&log, 1, 3);
    one.append(2, right.clone()).await;
    one.shown(2).await;
    one.append(2, right).await;
    one.shown(2).await;
    still_syncs(&mut one, &mut two, 1).await;
}

#[tokio::test]
async fn oversized_frame_closes_its_connection_only() {
    let server = server::open(server::options()).await;
    let (mut one, mut two) = pair(&server).await;
    let (mut large, _) = Device::connect(&server, 2, 1).await;
    large.push(vec![fixtures::pushed(1, 1, 70_000, None)]).await;
    large.ends(Code::FrameTooLarge, 1009).await;
    still_syncs(&mut one, &mut two, 1).await;
}

#[tokio::test]
async fn used_or_unknown_rendezvous_is_refused() {
    let server = server::open(server::options()).await;
    let mut one = Device::create(&server, 1).await;
    let mut other = Device::create(&server, 4).await;
    let open = || {
        DeviceFrame::OpenRendezvous(wire::OpenRendezvous {
            id: vec![9; 16].into(),
            lifetime_s: 9,
        })
    };
    one.send(open()).await;
    one.wait(|frame| matches!(frame, RelayFrame::RendezvousOpened(_)).then_some(()))
        .await;
    other.send(open()).await;
    assert_eq!(other.refusal().await.code(), Code::RendezvousInUse);
    let mut joining = Device::dial(&server, 5, 1).await;
    let join = wire::JoinRendezvous {
        id: vec![8; 16].into(),
        sealed: Bytes::new(),
    };
    joining.send(DeviceFrame::JoinRendezvous(join)).await;
    joining.ends(Code::RendezvousNotFound, 4404).await;
}
