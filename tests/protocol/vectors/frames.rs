//! One frame of each type as in a WebSocket message, and the body of an exchange.

use bytes::Bytes;
use graceful_protocol::frame::{
    DeviceFrame, RelayFrame, device_bytes, from_device, from_relay, join, relay_bytes, split,
};
use graceful_protocol::wire::{self, Authenticate, SignedEntry};
use graceful_protocol::{Code, Limits, Refusal};

use super::actors::{DESK, PHONE, account, entries, recovery};
use super::{Vector, hex};

const NOTE_DEVICE: &str = "an encoded FromDevice; fields_text shows it to people";
const NOTE_RELAY: &str = "an encoded FromRelay; fields_text shows it to people";

pub fn all() -> Vec<Vector> {
    let mut vectors: Vec<_> = device_frames().into_iter().map(from_the_device).collect();
    vectors.extend(relay_frames().into_iter().map(from_the_relay));
    vectors.push(body());
    vectors
}

/// The name of a frame's kind is the first word of its `Debug`.
fn kind(debug: &str) -> &str {
    debug.split('(').next().unwrap_or(debug)
}

fn from_the_device(frame: DeviceFrame) -> Vector {
    let bytes = device_bytes(frame.clone());
    assert_eq!(from_device(bytes.clone()).as_ref(), Ok(&frame));
    let mut debug = format!("{frame:?}");
    if let DeviceFrame::CreateAccount(found) = &frame {
        // `Debug` omits the invitation, which authors of clients need.
        debug = debug.replace(", .. })", &format!(", invite: {:?} }})", found.invite));
    }
    Vector::new(kind(&debug), NOTE_DEVICE)
        .given("fields_text", debug.as_str())
        .gives("frame", hex(&bytes))
}

fn from_the_relay(frame: RelayFrame) -> Vector {
    let bytes = relay_bytes(frame.clone());
    assert_eq!(from_relay(bytes.clone()).as_ref(), Ok(&frame));
    let debug = format!("{frame:?}");
    Vector::new(kind(&debug), NOTE_RELAY)
        .given("fields_text", debug.as_str())
        .gives("frame", hex(&bytes))
}

fn authenticate() -> Authenticate {
    Authenticate {
        version: 1,
        account: account().to_wire(),
        device: DESK.keys().device().to_wire(),
        host: "relay.example".to_owned(),
        signature: Bytes::from(vec![0x73; 64]),
        membership_count: 4,
        entries: Vec::new(),
    }
}

fn added() -> SignedEntry {
    entries().remove(1)
}

pub fn device_frames() -> Vec<DeviceFrame> {
    let (id, sealed) = (Bytes::from(vec![0x69; 16]), Bytes::from(vec![0x01; 40]));
    let envelopes = vec![
        wire::Envelope {
            push_number: 1,
            sealed: sealed.clone(),
            recipient: Bytes::new(),
        },
        wire::Envelope {
            push_number: 2,
            sealed: sealed.clone(),
            recipient: PHONE.keys().device().to_wire(),
        },
    ];
    let found = wire::CreateAccount {
        authenticate: Some(authenticate()),
        entry: Some(entries().remove(0)),
        invite: "mfrgg2lon5wwk".to_owned(),
    };
    vec![
        DeviceFrame::Authenticate(authenticate()),
        DeviceFrame::CreateAccount(found),
        DeviceFrame::Push(wire::Push { envelopes }),
        DeviceFrame::Ack(wire::Ack { through: 300 }),
        DeviceFrame::AppendMembership(wire::AppendMembership {
            first: 1,
            entries: vec![added()],
        }),
        DeviceFrame::DeleteThrough(wire::DeleteThrough { through: u64::MAX }),
        DeviceFrame::DeleteAccount(wire::DeleteAccount {
            account: account().to_wire(),
        }),
        DeviceFrame::Ping(wire::Ping { number: 7 }),
        DeviceFrame::OpenRendezvous(wire::OpenRendezvous {
            id: id.clone(),
            lifetime_s: 600,
        }),
        DeviceFrame::JoinRendezvous(wire::JoinRendezvous {
            id: id.clone(),
            sealed: sealed.clone(),
        }),
        DeviceFrame::RendezvousReply(wire::RendezvousReply { id, sealed }),
        DeviceFrame::RecoverAccount(wire::RecoverAccount {
            version: 1,
            recovery_key: recovery().keys().device().to_wire(),
            host: "relay.example".to_owned(),
            signature: Bytes::from(vec![0x73; 64]),
        }),
    ]
}

fn greeting() -> wire::Greeting {
    wire::Greeting {
        relay_id: Bytes::from(vec![0x72; 16]),
        version_min: 1,
        version_max: 1,
        epoch: Bytes::from(vec![0x45; 16]),
        nonce: Bytes::from(vec![0x4e; 32]),
        time_ms: 1_800_000_000_000,
        limits: Some((&Limits::default()).into()),
        software: "graceful-relay/0.1.0".to_owned(),
        registration: wire::Registration::Invite.into(),
    }
}

pub fn relay_frames() -> Vec<RelayFrame> {
    let (id, sealed) = (Bytes::from(vec![0x69; 16]), Bytes::from(vec![0x01; 40]));
    let delivered = wire::Delivered {
        seq: 5,
        sender: DESK.keys().device().to_wire(),
        push_number: 2,
        sealed: sealed.clone(),
        chain: Bytes::from(vec![0x63; 32]),
        targeted: true,
    };
    let welcome = wire::Welcome {
        device_index: 1,
        head: 300,
        cursor: 290,
        push_number: 12,
        stored_bytes: 4_096,
        stored_envelopes: 10,
        membership_count: 4,
        chain: Bytes::from(vec![0x63; 32]),
    };
    let placements = vec![wire::Placement {
        push_number: 12,
        seq: 299,
        count: 2,
    }];
    let reason = wire::gap::Reason::Expired.into();
    let refusal = Refusal::new(Code::PushOutOfOrder, "push 3 must come next")
        .push_number(5)
        .expected(3);
    vec![
        RelayFrame::Greeting(greeting()),
        RelayFrame::Welcome(welcome),
        RelayFrame::Stored(wire::Stored {
            push_number: 13,
            placements,
        }),
        RelayFrame::Deliver(wire::Deliver {
            envelopes: vec![delivered],
            through: 5,
            head: 300,
        }),
        RelayFrame::Gap(wire::Gap {
            from: 1,
            through: 4,
            reason,
        }),
        RelayFrame::Membership(wire::Membership {
            first: 1,
            entries: vec![added()],
        }),
        RelayFrame::Deleted(wire::Deleted {
            through: 300,
            envelopes: 10,
            account: false,
        }),
        RelayFrame::Refusal(refusal.into()),
        RelayFrame::Pong(wire::Pong { number: 7 }),
        RelayFrame::RendezvousOpened(wire::RendezvousOpened { id: id.clone() }),
        RelayFrame::RendezvousMessage(wire::RendezvousMessage { id, sealed }),
        RelayFrame::RecoveryAccepted(wire::RecoveryAccepted {
            membership_count: 4,
        }),
    ]
}

fn body() -> Vector {
    let frames = [
        device_bytes(DeviceFrame::Authenticate(authenticate())),
        device_bytes(DeviceFrame::Ack(wire::Ack { through: 300 })),
    ];
    let body = join(&frames);
    assert_eq!(split(body.clone()).as_deref(), Ok(&frames[..]));
    Vector::new(
        "exchange body",
        "each frame behind its length as a protobuf varint",
    )
    .given(
        "frames",
        frames.iter().map(|frame| hex(frame)).collect::<Vec<_>>(),
    )
    .gives("body", hex(&body))
}
