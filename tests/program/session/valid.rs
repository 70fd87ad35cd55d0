//! Devices that follow the protocol.

use std::time::Duration;

use graceful_protocol::frame::{DeviceFrame, RelayFrame};
use graceful_protocol::membership::Membership;
use graceful_protocol::wire::{self, gap::Reason};
use graceful_protocol::{Code, Limits, chain};
use graceful_server::relay::Registration;

use graceful_testing::device::Device;
use graceful_testing::fixtures;
use graceful_testing::server::{self, TestServer};

/// Two devices of one account, both connected.
pub async fn pair(server: &TestServer) -> (Device, Device) {
    let mut one = Device::create(server, 1).await;
    let log = Membership::from_genesis(&fixtures::genesis(1)).expect("an entry");
    one.append(1, fixtures::adding(&log, 1, 2)).await;
    one.shown(1).await;
    let (two, _) = Device::connect(server, 2, 1).await;
    (one, two)
}

#[tokio::test]
async fn pushed_envelope_is_delivered_until_acked() {
    let server = server::open(server::options()).await;
    let (mut one, mut two) = pair(&server).await;
    one.push(vec![
        fixtures::pushed(1, 71, 300, None),
        fixtures::pushed(2, 72, 900, None),
    ])
    .await;
    let stored = one.stored().await;
    assert_eq!(stored.push_number, 2);
    assert_eq!(
        stored.placements,
        [wire::Placement {
            push_number: 1,
            seq: 1,
            count: 2
        }]
    );

    let deliver = two.delivered().await;
    let seqs = deliver
        .envelopes
        .iter()
        .map(|one| (one.seq, one.push_number, one.sealed.clone()));
    let sent = [
        (1, 1, fixtures::sealed(71, 300)),
        (2, 2, fixtures::sealed(72, 900)),
    ];
    assert!(seqs.eq(sent.clone()));
    let mut running = chain::START;
    for (delivered, (seq, _, sealed)) in deliver.envelopes.iter().zip(&sent) {
        running = chain::extend(&running, *seq, &fixtures::device_key(1), sealed);
        assert_eq!(*delivered.chain, *running.as_bytes());
    }
    drop(two);

    // Not acknowledged: it comes again, as long as it takes.
    let (mut two, welcome) = Device::connect(&server, 2, 1).await;
    assert_eq!(
        (welcome.head, welcome.cursor, welcome.stored_envelopes),
        (2, 0, 2)
    );
    assert_eq!(two.delivered().await.envelopes.len(), 2);
    two.ack(2).await;
    two.push(vec![fixtures::pushed(1, 73, 300, None)]).await;
    two.stored().await;
    assert_eq!(
        server.relay.status().expect("reads").envelopes,
        1,
        "only what the first has yet to get"
    );
    assert_eq!(one.delivered().await.envelopes[0].seq, 3);
}

#[tokio::test]
async fn duplicate_push_is_confirmed_and_stored_once() {
    let server = server::open(server::options()).await;
    let (mut one, mut two) = pair(&server).await;
    let envelope = fixtures::pushed(1, 71, 300, None);
    one.push(vec![envelope.clone()]).await;
    one.stored().await;
    one.push(vec![envelope.clone(), fixtures::pushed(2, 72, 300, None)])
        .await;
    let stored = one.stored().await;
    assert_eq!(stored.push_number, 2);
    assert_eq!(
        stored.placements,
        [wire::Placement {
            push_number: 2,
            seq: 2,
            count: 1
        }]
    );
    one.push(vec![envelope]).await;
    let stored = one.stored().await;
    assert_eq!((stored.push_number, stored.placements.len()), (1, 0));
    let mut seqs = Vec::new();
    while seqs.len() < 2 {
        seqs.extend(two.delivered().await.envelopes.iter().map(|one| one.seq));
    }
    assert_eq!(seqs, [1, 2]);
}

#[tokio::test]
async fn window_limits_delivery_until_ack() {
    let limits = Limits {
        window_bytes: 150_000,
        frame_bytes_max: 700_000,
        ..Limits::default()
    };
    let options = graceful_server::http::Options {
        frame_bytes_max: 700_000,
        ..server::options()
    };
    let server = server::open_with(options, limits, Registration::Open).await;
    let (mut one, mut two) = pair(&server).await;
    one.push(
        (1..=6)
            .map(|number| fixtures::pushed(number, number, 100_000, None))
            .collect(),
    )
    .await;
    one.stored().await;
    let mut seen = 0;
    while seen < 6 {
        let deliver = two.delivered().await;
        seen = deliver.through;
        assert!(
            deliver.envelopes.len() <= 2,
            "a window of 150,000 bytes holds two at the most"
        );
        if seen < 6 {
            // Nothing more comes by itself: the next frame is the answer to a ping.
            two.send(DeviceFrame::Ping(wire::Ping { number: seen }))
                .await;
            loop {
                match two.next().await {
                    RelayFrame::Pong(pong) => break assert_eq!(pong.number, seen),
                    RelayFrame::Deliver(more) => seen = more.through,
                    other => panic!("{other:?}"),
                }
            }
            two.ack(seen).await;
        }
    }
}

#[tokio::test]
async fn targeted_envelope_reaches_one_device() {
    let server = server::open(server::options()).await;
    let (mut one, mut two) = pair(&server).await;
    let log = [fixtures::genesis(1), {
        let log = Membership::from_genesis(&fixtures::genesis(1)).expect("an entry");
        fixtures::adding(&log, 1, 2)
    }];
    let log = Membership::replay(&log).expect("a log");
    two.append(2, fixtures::adding(&log, 2, 3)).await;
    one.shown(2).await;
    let (mut three, _) = Device::connect(&server, 3, 1).await;
    one.push(vec![
        fixtures::pushed(1, 71, 300, Some(3)),
        fixtures::pushed(2, 72, 300, None),
    ])
    .await;
    let for_three = three.delivered().await;
    assert!(for_three.envelopes[0].targeted && for_three.envelopes[0].seq == 1);
    let for_two = two.delivered().await;
    assert_eq!(
        for_two
            .envelopes
            .iter()
            .map(|one| one.seq)
            .collect::<Vec<_>>(),
        [2]
    );
    assert_eq!(for_two.through, 2);
}

#[tokio::test]
async fn removed_device_is_disconnected_and_refused() {
    let server = server::open(server::options()).await;
    let (mut one, two) = pair(&server).await;
    one.push(vec![fixtures::pushed(1, 71, 300, None)]).await;
    one.stored().await;
    let mut log = Membership::from_genesis(&fixtures::genesis(1)).expect("an entry");
    log.append(&fixtures::adding(&log.clone(), 1, 2))
        .expect("follows");
    one.append(2, fixtures::removing(&log, 1, 2)).await;
    two.ends(Code::DeviceRemoved, 4403).await;
    let mut two = Device::dial(&server, 2, 1).await;
    two.send(DeviceFrame::Authenticate(two.proof())).await;
    two.ends(Code::NotAMember, 4401).await;
}

#[tokio::test]
async fn deletion_is_done_when_answered_and_leaves_gap() {
    let server = server::open(server::options()).await;
    let (mut one, mut two) = pair(&server).await;
    one.push(
        (1..=3)
            .map(|number| fixtures::pushed(number, number, 300, None))
            .collect(),
    )
    .await;
    two.delivered().await;
    drop(two);
    one.send(DeviceFrame::DeleteThrough(wire::DeleteThrough {
        through: 2,
    }))
    .await;
    let deleted = one.wait(|frame| match frame {
        RelayFrame::Deleted(deleted) => Some(deleted),
        _ => None,
    });
    assert_eq!(
        deleted.await,
        wire::Deleted {
            through: 2,
            envelopes: 2,
            account: false
        }
    );
    assert_eq!(server.relay.status().expect("reads").envelopes, 1);

    let (mut two, _) = Device::connect(&server, 2, 1).await;
    let gap = two.wait(|frame| match frame {
        RelayFrame::Gap(gap) => Some(gap),
        _ => None,
    });
    let gap = gap.await;
    assert_eq!(
        (gap.from, gap.through, gap.reason()),
        (1, 2, Reason::Deleted)
    );
    assert_eq!(two.delivered().await.envelopes[0].seq, 3);

    let account = one.account.to_wire();
    one.send(DeviceFrame::DeleteAccount(wire::DeleteAccount { account }))
        .await;
    let deleted = one.wait(|frame| match frame {
        RelayFrame::Deleted(deleted) => Some(deleted),
        _ => None,
    });
    assert_eq!(
        deleted.await,
        wire::Deleted {
            through: 0,
            envelopes: 1,
            account: true
        }
    );
    let status = server.relay.status().expect("reads");
    assert_eq!((status.accounts, status.envelopes), (0, 0));
    two.ends(Code::AccountDeleted, 4410).await;
}

#[tokio::test]
async fn invitation_creates_one_account() {
    let server =
        server::open_with(server::options(), Limits::default(), Registration::Invite).await;
    let uninvited = Device::dial(&server, 1, 1).await;
    let refused = |mut device: Device, invite: String| async move {
        let found = device.create_account(&invite);
        device.send(DeviceFrame::CreateAccount(found)).await;
        device.ends(Code::InviteRequired, 4423).await
    };
    refused(uninvited, String::new()).await;
    refused(
        Device::dial(&server, 1, 1).await,
        "not an invitation".into(),
    )
    .await;

    let invite = server
        .relay
        .invite(Duration::from_secs(60))
        .await
        .expect("an invitation");
    let mut device = Device::dial(&server, 1, 1).await;
    let found = device.create_account(&invite);
    device.send(DeviceFrame::CreateAccount(found.clone())).await;
    device.welcome().await;
    // The same device asks again, as after a lost answer: it is welcome, and nothing is used up.
    let mut again = Device::dial(&server, 1, 1).await;
    let found = again.create_account(&invite);
    again.send(DeviceFrame::CreateAccount(found)).await;
    again.welcome().await;
    refused(Device::dial(&server, 2, 2).await, invite).await;

    let void = server
        .relay
        .invite(Duration::ZERO)
        .await
        .expect("an invitation");
    refused(Device::dial(&server, 2, 2).await, void).await;
    assert_eq!(server.relay.status().expect("reads").accounts, 1);
}

#[tokio::test]
async fn closed_registration_serves_existing_accounts() {
    let server =
        server::open_with(server::options(), Limits::default(), Registration::Closed).await;
    let mut device = Device::dial(&server, 1, 1).await;
    assert_eq!(device.greeting.registration(), wire::Registration::Closed);
    let found = device.create_account("");
    device.send(DeviceFrame::CreateAccount(found)).await;
    device.ends(Code::RegistrationClosed, 4423).await;
}

#[tokio::test]
async fn rendezvous_connects_two_devices_once() {
    let server = server::open(server::options()).await;
    let mut owner = Device::create(&server, 1).await;
    let open = wire::OpenRendezvous {
        id: vec![9; 16].into(),
        lifetime_s: 60,
    };
    owner.send(DeviceFrame::OpenRendezvous(open)).await;
    let opened = |frame| match frame {
        RelayFrame::RendezvousOpened(opened) => Some(opened),
        _ => None,
    };
    assert_eq!(owner.wait(opened).await.id, vec![9; 16]);
    let join = || wire::JoinRendezvous {
        id: vec![9; 16].into(),
        sealed: "it is me".into(),
    };
    let mut joining = Device::dial(&server, 2, 1).await;
    joining.send(DeviceFrame::JoinRendezvous(join())).await;
    let message = |frame| match frame {
        RelayFrame::RendezvousMessage(message) => Some(message.sealed),
        _ => None,
    };
    assert_eq!(owner.wait(message).await, "it is me");

    let mut late = Device::dial(&server, 3, 1).await;
    late.send(DeviceFrame::JoinRendezvous(join())).await;
    late.ends(Code::RendezvousNotFound, 4404).await;

    joining
        .send(DeviceFrame::Ping(wire::Ping { number: 5 }))
        .await;
    assert_eq!(
        joining.next().await,
        RelayFrame::Pong(wire::Pong { number: 5 })
    );
    let reply = wire::RendezvousReply {
        id: vec![9; 16].into(),
        sealed: "come in".into(),
    };
    owner.send(DeviceFrame::RendezvousReply(reply)).await;
    assert_eq!(joining.wait(message).await, "come in");
    let mut late = Device::dial(&server, 3, 1).await;
    late.send(DeviceFrame::JoinRendezvous(join())).await;
    late.ends(Code::RendezvousNotFound, 4404).await;
}

#[tokio::test]
async fn joining_device_is_informed_when_owner_leaves() {
    let server = server::open(server::options()).await;
    let mut owner = Device::create(&server, 1).await;
    let open = wire::OpenRendezvous {
        id: vec![9; 16].into(),
        lifetime_s: 60,
    };
    owner.send(DeviceFrame::OpenRendezvous(open)).await;
    owner
        .wait(|frame| matches!(frame, RelayFrame::RendezvousOpened(_)).then_some(()))
        .await;
    let mut joining = Device::dial(&server, 2, 1).await;
    let join = wire::JoinRendezvous {
        id: vec![9; 16].into(),
        sealed: "it is me".into(),
    };
    joining.send(DeviceFrame::JoinRendezvous(join)).await;
    owner
        .wait(|frame| matches!(frame, RelayFrame::RendezvousMessage(_)).then_some(()))
        .await;
    drop(owner);
    joining.ends(Code::RendezvousNotFound, 4404).await;
}
