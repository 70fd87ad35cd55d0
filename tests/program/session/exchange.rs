//! The session by exchange, for clients without a WebSocket.

use bytes::Bytes;
use graceful_protocol::Code;
use graceful_protocol::EXCHANGE_PATH;
use graceful_protocol::frame::{self, DeviceFrame, RelayFrame};
use graceful_protocol::wire::{self, Authenticate, Greeting};

use super::valid::pair;
use graceful_testing::fixtures;
use graceful_testing::server::{self, Answer, TestServer};

fn proof(greeting: &Greeting, number: u8) -> Authenticate {
    let key = fixtures::signing_key(number);
    fixtures::authenticate(greeting, fixtures::account_id(1), number, "127.0.0.1", &key)
}

async fn greeting(server: &TestServer) -> Greeting {
    match server
        .ask("GET", EXCHANGE_PATH, "")
        .await
        .frames()
        .remove(0)
    {
        RelayFrame::Greeting(greeting) => greeting,
        other => panic!("not a greeting: {other:?}"),
    }
}

async fn talk(server: &TestServer, number: u8, frames: Vec<DeviceFrame>) -> Answer {
    let greeting = greeting(server).await;
    let first = DeviceFrame::Authenticate(proof(&greeting, number));
    let frames = std::iter::once(first)
        .chain(frames)
        .map(frame::device_bytes)
        .collect::<Vec<_>>();
    server::exchange(server, &greeting.nonce, &frame::join(&frames)).await
}

#[tokio::test]
async fn exchange_pushes_delivers_acks_and_deletes() {
    let server = server::open(server::options()).await;
    drop(pair(&server).await);
    let push = wire::Push {
        envelopes: (1..=3).map(|n| fixtures::pushed(n, n, 300, None)).collect(),
    };
    let answer = talk(&server, 1, vec![DeviceFrame::Push(push)]).await;
    assert_eq!(answer.status(), "200");
    let stored = answer
        .frames()
        .into_iter()
        .any(|frame| matches!(frame, RelayFrame::Stored(stored) if stored.push_number == 3));
    assert!(stored, "{:?}", answer.frames());

    let frames = talk(&server, 2, Vec::new()).await.frames();
    let RelayFrame::Welcome(welcome) = &frames[0] else {
        panic!("welcome comes first");
    };
    assert_eq!((welcome.head, welcome.cursor), (3, 0));
    let delivered = frames.iter().find_map(|frame| match frame {
        RelayFrame::Deliver(deliver) => Some(deliver.envelopes.len()),
        _ => None,
    });
    assert_eq!(delivered, Some(3));

    let ack = DeviceFrame::Ack(wire::Ack { through: 2 });
    let delete = DeviceFrame::DeleteThrough(wire::DeleteThrough { through: 3 });
    let frames = talk(&server, 2, vec![ack, delete]).await.frames();
    let deleted = frames.iter().find_map(|frame| match frame {
        RelayFrame::Deleted(deleted) => Some(deleted.envelopes),
        _ => None,
    });
    assert_eq!(deleted, Some(1));
    assert_eq!(server.relay.status().expect("reads").envelopes, 0);
}

#[tokio::test]
async fn exchange_requires_own_nonce_and_member() {
    let server = server::open(server::options()).await;
    drop(pair(&server).await);
    let answer = talk(&server, 9, Vec::new()).await;
    assert_eq!(
        (answer.status(), answer.refusal()),
        ("403", Code::NotAMember)
    );
    // What follows the first frame of a stranger is not even read.
    let greeting = greeting(&server).await;
    let stranger = frame::device_bytes(DeviceFrame::Authenticate(proof(&greeting, 9)));
    let body = frame::join([&stranger, &Bytes::from_static(b"nonsense")]);
    let answer = server::exchange(&server, &greeting.nonce, &body).await;
    assert_eq!(
        (answer.status(), answer.refusal()),
        ("403", Code::NotAMember)
    );
    let authenticate = frame::device_bytes(DeviceFrame::Authenticate(proof(&greeting, 1)));
    let answer = server::exchange(&server, &[7; 32], &frame::join([&authenticate])).await;
    assert_eq!((answer.status(), answer.refusal()), ("408", Code::Timeout));
    let mut forged = greeting.nonce.to_vec();
    forged[0] ^= 1;
    let answer = server::exchange(&server, &forged, &frame::join([&authenticate])).await;
    assert_eq!(answer.refusal(), Code::Timeout);
    let slot = DeviceFrame::OpenRendezvous(wire::OpenRendezvous {
        id: vec![1; 16].into(),
        lifetime_s: 9,
    });
    let answer = talk(&server, 1, vec![slot]).await;
    let Some(RelayFrame::Refusal(refusal)) = answer.frames().pop() else {
        panic!("refused: {:?}", answer.frames());
    };
    assert_eq!(refusal.code(), Code::UnexpectedFrame);
}

#[tokio::test]
async fn exchange_over_account_rate_gets_retry_after() {
    let server = server::open(server::options()).await;
    drop(pair(&server).await);
    // Ten seconds' worth at once, and some more.
    let frames = (0..6_000)
        .map(|_| DeviceFrame::Ack(wire::Ack { through: 0 }))
        .collect();
    let frames = talk(&server, 2, frames).await.frames();
    assert!(
        matches!(&frames[0], RelayFrame::Welcome(_)),
        "{:?}",
        frames[0]
    );
    let Some(RelayFrame::Refusal(refusal)) = frames.last() else {
        panic!("not refused: {:?}", frames.last());
    };
    assert_eq!(refusal.code(), Code::Overloaded);
    assert!(refusal.retry_after_ms > 0);
}
