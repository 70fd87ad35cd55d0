//! Floods: many connections, many messages, large messages.

use std::time::{Duration, Instant};

use futures_util::SinkExt;
use futures_util::future::join_all;
use graceful_protocol::Code;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::attacker::{Device, address, close_code, connect, websocket};
use crate::harness::TestRelay;
use graceful_testing::fixtures;

#[tokio::test(flavor = "multi_thread")]
async fn address_connections_are_limited() {
    let relay_under_test = TestRelay::open(&[]);
    let relay = relay_under_test.relay.address;
    let attack = async {
        let (mut open, mut refused) = (Vec::new(), 0);
        for _ in 0..400 {
            match websocket(address(0, 2), relay).await {
                Ok(socket) => open.push(socket),
                Err(Error::Http(response)) => {
                    assert_eq!(response.status(), 429);
                    assert_eq!(
                        response.headers()["x-content-type-options"],
                        "nosniff",
                        "guarded, too"
                    );
                    assert!(response.headers().contains_key("retry-after"));
                    refused += 1;
                }
                // Beyond the limit of concurrent rejections, connections are closed without an answer.
                Err(_) => refused += 1,
            }
        }
        assert!(
            open.len() <= 50 && !open.is_empty(),
            "{} were accepted",
            open.len()
        );
        assert_eq!(open.len() + refused, 400);
        open
    };
    relay_under_test
        .while_syncing("connections from one address", attack)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_dropped_connections_leave_nothing() {
    let relay_under_test = TestRelay::open(&[]);
    let relay = relay_under_test.relay.address;
    let attack = async {
        let begun = Instant::now();
        let from = |fourth| async move {
            for step in 0..100 {
                let Ok(mut stream) = connect(address(1, fourth), relay).await else {
                    continue;
                };
                if step % 2 == 0 {
                    let _ = stream.write_all(b"GET /health HTTP/1.1\r\n").await;
                }
            }
        };
        join_all((1..=50).map(from)).await;
        println!("5,000 connections in {:?}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(60));
    };
    relay_under_test
        .while_syncing("5,000 connections opened and dropped", attack)
        .await;
    relay_under_test.has_connections(2).await;
    let files = std::fs::read_dir(format!("/proc/{}/fd", relay_under_test.relay.id()))
        .expect("it runs")
        .count();
    assert!(files < 200, "{files} files are open");
}

#[tokio::test(flavor = "multi_thread")]
async fn account_creation_is_rate_limited() {
    let relay_under_test = TestRelay::open(&[("GRACEFUL_RELAY_RATE_LIMITS__NEW_ACCOUNTS", "50/h")]);
    let relay = relay_under_test.relay.address;
    let refused = |refusal: graceful_protocol::wire::Refusal| {
        assert_eq!(refusal.code(), Code::Overloaded, "{refusal:?}");
        assert!(refusal.retry_after_ms > 0, "{refusal:?}");
    };
    let attack = async {
        let (mut created, mut here) = (0, 0);
        for number in 1..=30 {
            match Device::create(address(0, 2), relay, number).await {
                Ok(_) => here += 1,
                Err(refusal) => refused(refusal),
            }
        }
        assert_eq!(here, 20, "of one address in an hour");
        for number in 31..=120 {
            match Device::create(address(2, number), relay, number).await {
                Ok(_) => created += 1,
                Err(refusal) => refused(refusal),
            }
        }
        // The honest two created one.
        assert_eq!(here + created, 49, "altogether in an hour");
        // Existing accounts still connect.
        Device::connect(address(0, 2), relay, 1, 1)
            .await
            .expect("known");
    };
    relay_under_test
        .while_syncing("account creations", attack)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn account_connections_are_limited() {
    let relay_under_test = TestRelay::open(&[(
        "GRACEFUL_RELAY_RATE_LIMITS__PER_ACCOUNT_CONNECTIONS_MAX",
        "8",
    )]);
    let relay = relay_under_test.relay.address;
    let attack = async {
        let mut open = vec![
            Device::create(address(0, 2), relay, 1)
                .await
                .expect("account is created"),
        ];
        for _ in 0..7 {
            open.push(
                Device::connect(address(0, 2), relay, 1, 1)
                    .await
                    .expect("a seat")
                    .0,
            );
        }
        for _ in 0..20 {
            let refusal = Device::connect(address(0, 3), relay, 1, 1)
                .await
                .map(drop)
                .expect_err("no seat");
            assert_eq!(refusal.code(), Code::Overloaded);
            assert!(refusal.retry_after_ms > 0);
        }
        open
    };
    relay_under_test
        .while_syncing("connections of one account", attack)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fast_account_is_throttled_and_loses_nothing() {
    // 20 frames a second, 200 at once: 280 take four seconds more than no time at all.
    let relay_under_test =
        TestRelay::open(&[("GRACEFUL_RELAY_RATE_LIMITS__PER_ACCOUNT_FRAMES", "20/s")]);
    let relay = relay_under_test.relay.address;
    let attack = async {
        let mut device = Device::create(address(0, 2), relay, 1)
            .await
            .expect("account is created");
        let begun = Instant::now();
        for number in 1..=280 {
            device
                .push(vec![fixtures::pushed(number, number, 300, None)])
                .await;
            assert_eq!(
                device.answer().await.expect("open"),
                Ok(number),
                "nothing is refused"
            );
        }
        assert!(
            begun.elapsed() > Duration::from_secs(3),
            "{:?}",
            begun.elapsed()
        );
    };
    // The honest two are of another account, and make fewer than 20 frames a second each.
    relay_under_test
        .while_syncing("a hasty account", attack)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_message_closes_with_1009() {
    let relay_under_test = TestRelay::open(&[("GRACEFUL_RELAY_LIMITS__AUTH_TIMEOUT", "3s")]);
    let relay = relay_under_test.relay.address;
    let attack = async {
        for _ in 0..20 {
            let mut socket = websocket(address(0, 2), relay).await.expect("accepted");
            // The relay may close while this is still being sent.
            let _ = socket.send(Message::Binary(vec![7; 16 << 20].into())).await;
            assert_eq!(close_code(&mut socket).await, Some(1009));
        }
        for _ in 0..20 {
            let mut socket = websocket(address(0, 3), relay).await.expect("accepted");
            assert_eq!(send_endlessly(&mut socket, 100_000).await, Some(1009));
        }
        // Empty fragments make no message too large, but the session is unauthenticated.
        let mut socket = websocket(address(0, 4), relay).await.expect("accepted");
        assert_eq!(send_endlessly(&mut socket, 0).await, Some(4408));
    };
    relay_under_test
        .while_syncing("messages without measure", attack)
        .await;
}

/// A message in parts that never ends, until the relay ends it.
async fn send_endlessly(socket: &mut crate::attacker::Socket, part_bytes: usize) -> Option<u16> {
    let mut kind = Data::Binary;
    loop {
        let part = Frame::message(vec![7; part_bytes], OpCode::Data(kind), false);
        if socket.send(Message::Frame(part)).await.is_err() {
            return close_code(socket).await;
        }
        kind = Data::Continue;
        let closed = tokio::select! {
            biased;
            code = close_code(socket) => Some(code),
            () = tokio::task::yield_now() => None,
        };
        if let Some(code) = closed {
            return code;
        }
    }
}
