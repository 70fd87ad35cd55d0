//! Slow clients: slow to start, to continue and to read.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::io::AsyncWriteExt;

use crate::attacker::{Device, address, asking_for_websocket, connect, rest, status, websocket};
use crate::harness::TestRelay;
use graceful_testing::fixtures;

/// Attackers' addresses, and connections from each: more than one address may have.
const ADDRESSES: u8 = 4;
const FROM_EACH: usize = 60;

const IMPATIENT: [(&str, &str); 5] = [
    ("GRACEFUL_RELAY_LIMITS__HEADER_TIMEOUT", "2s"),
    ("GRACEFUL_RELAY_LIMITS__AUTH_TIMEOUT", "2s"),
    ("GRACEFUL_RELAY_LIMITS__WRITE_TIMEOUT", "2s"),
    ("GRACEFUL_RELAY_LIMITS__PING_INTERVAL", "5s"),
    ("GRACEFUL_RELAY_LIMITS__IDLE_TIMEOUT", "10s"),
];

/// Opens many connections, sends these bytes on each and waits until all have ended. Returns how
/// many were rejected at once.
async fn say_and_wait(relay: SocketAddr, said: &[u8]) -> usize {
    let rejected = AtomicUsize::new(0);
    let each = |from: u8| {
        let rejected = &rejected;
        async move {
            let mut open = Vec::new();
            for _ in 0..FROM_EACH {
                let mut stream = connect(address(0, from), relay)
                    .await
                    .expect("the port is open");
                let _ = stream.write_all(said).await;
                open.push(stream);
            }
            for answer in join_all(open.into_iter().map(rest)).await {
                if status(&answer) == "429" {
                    assert!(answer.to_lowercase().contains("retry-after: "), "{answer}");
                    rejected.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    };
    join_all((2..2 + ADDRESSES).map(each)).await;
    rejected.into_inner()
}

async fn slowloris(phase: &str, said: &[u8]) {
    let relay_under_test = TestRelay::open(&IMPATIENT);
    let rejected = relay_under_test
        .while_syncing(phase, say_and_wait(relay_under_test.relay.address, said))
        .await;
    assert!(
        rejected >= 10 * usize::from(ADDRESSES),
        "an address may have 50 unauthenticated connections: {rejected}"
    );
    relay_under_test.has_connections(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_harm_no_device() {
    slowloris("silent connections", b"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_request_head_harms_no_device() {
    slowloris(
        "half a head",
        b"GET /v1/sync HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Filler: ",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unauthenticated_sockets_harm_no_device() {
    slowloris("silent sockets", &asking_for_websocket("")).await;
}

/// The beginning of a large masked binary message.
fn half_a_frame() -> Vec<u8> {
    let mut bytes = vec![0x82, 0xff];
    bytes.extend(1_000_000_u64.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.resize(bytes.len() + 200_000, 7);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn half_frame_before_authentication_harms_no_device() {
    let said = [asking_for_websocket(""), half_a_frame()].concat();
    slowloris("half a frame", &said).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_frame_of_device_ends_by_idle_timeout() {
    let relay_under_test = TestRelay::open(&IMPATIENT);
    let relay = relay_under_test.relay.address;
    let attack = async {
        drop(
            Device::create(address(0, 2), relay, 9)
                .await
                .expect("account is created"),
        );
        let mut open = Vec::new();
        for _ in 0..40 {
            let (mut device, _) = Device::connect(address(0, 2), relay, 9, 9)
                .await
                .expect("a member");
            device
                .socket
                .get_mut()
                .write_all(&half_a_frame())
                .await
                .expect("open");
            open.push(device);
        }
        for device in &mut open {
            while let Some(Ok(_)) = device.socket.next().await {}
        }
    };
    relay_under_test
        .while_syncing("half a frame of known devices", attack)
        .await;
    relay_under_test.has_connections(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn device_that_stops_reading_is_disconnected() {
    let relay_under_test = TestRelay::open(&IMPATIENT);
    let relay = relay_under_test.relay.address;
    let attack = async {
        let mut pusher = Device::create(address(0, 2), relay, 8)
            .await
            .expect("account is created");
        pusher.add(9).await;
        for number in 1..=20 {
            pusher
                .push(vec![fixtures::pushed(number, number, 1_000_000, None)])
                .await;
            assert_eq!(pusher.answer().await.expect("open"), Ok(number));
        }
        // Each asks for all of it and takes nothing.
        let mut deaf = Vec::new();
        for _ in 0..40 {
            deaf.push(
                Device::connect(address(0, 3), relay, 9, 8)
                    .await
                    .expect("a member"),
            );
        }
        // The two honest devices; those of the test exceeded the idle timeout as well.
        relay_under_test.has_connections(2).await;
        drop(deaf);
    };
    relay_under_test.while_syncing("deaf devices", attack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_connections_do_not_block_a_new_device() {
    // 64 unauthenticated connections are allowed, and four addresses use them all.
    let relay_under_test = TestRelay::open(&[("GRACEFUL_RELAY_LIMITS__CONNECTIONS_MAX", "100")]);
    let relay = relay_under_test.relay.address;
    let attack = async {
        let mut open = Vec::new();
        for connection in 0..200 {
            let from = address(0, 2 + connection % ADDRESSES);
            open.push(connect(from, relay).await.expect("the port is open"));
        }
        // A connection from a new address evicts one of the address with the most.
        let (connection, _other) = tokio::join!(
            websocket(address(0, 77), relay),
            websocket(address(0, 78), relay)
        );
        drop(connection.expect("accepted"));
        open
    };
    relay_under_test
        .while_syncing("a server full of the silent", attack)
        .await;
}
