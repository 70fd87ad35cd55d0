//! Large changes through a real relay: complete or not at all, despite disconnects and kills.

use graceful_testing::server;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use graceful_client::{Change, Client, Incoming};
use graceful_protocol::Limits;
use graceful_server::relay::Registration;
use graceful_testing::devices::two_clients;
use graceful_testing::program::{Home, LONG, Relay, changes, pair, write};

const MIB: usize = 1024 * 1024;

/// A number from a fixed stream.
fn next(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// Bytes of which no part is like another.
fn noise(bytes: usize) -> Bytes {
    let mut state = 2_026;
    (0..bytes / 4)
        .flat_map(|_| (next(&mut state) as u32).to_be_bytes())
        .collect()
}

async fn receives(client: &Client, content: &Bytes) {
    let incoming = tokio::time::timeout(LONG, client.changes().next())
        .await
        .expect("in time");
    let incoming = incoming.expect("the client is open");
    let Incoming::Change(received) = &incoming else {
        panic!("{incoming:?}")
    };
    assert!(
        received.content == *content,
        "{} bytes came",
        received.content.len()
    );
    client.applied(&incoming).await.expect("applied");
    tokio::time::timeout(LONG, client.up_to_date())
        .await
        .expect("in time")
        .expect("up to date");
}

#[tokio::test(flavor = "multi_thread")]
async fn change_of_100_mib_and_snapshot_of_50_mib_arrive() {
    let options = server::Options {
        frame_bytes_max: 1_200 * 1024,
        ..server::options()
    };
    let server = server::open_with(options, Limits::default(), Registration::Open).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (laptop, phone) = two_clients(folder.path(), &format!("ws://{}", server.address)).await;
    let content = noise(100 * MIB);
    let receipt = laptop
        .push([Change::new("large", content.clone())])
        .await
        .expect("taken");
    assert_eq!(
        (receipt.last, receipt.numbers.len()),
        (receipt.numbers[0], 1)
    );
    receives(&phone, &content).await;
    let snapshot = content.slice(..50 * MIB);
    laptop
        .send_snapshot(phone.status().device, snapshot.clone())
        .await
        .expect("taken");
    receives(&phone, &snapshot).await;
    for client in [laptop, phone] {
        client.close().await.expect("closes");
    }
    let deadline = Instant::now() + LONG;
    while server.relay.status().expect("a status").envelopes > 0 {
        assert!(
            Instant::now() < deadline,
            "the relay keeps what both have acknowledged"
        );
        tokio::task::yield_now().await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_changes_take_turns_in_small_memory() {
    // Three at a time, of two from each of eight accounts.
    let options = server::Options {
        frame_bytes_max: 1_200 * 1024,
        frames_bytes: 5 * MIB as u64,
        ..server::options()
    };
    let options = server::Options {
        connections_max: 64,
        ..options
    };
    let server = server::open_with(options, Limits::default(), Registration::Open).await;
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("ws://{}", server.address);
    let mut accounts = Vec::new();
    for number in 0..8 {
        accounts.push(two_clients(&folder.path().join(number.to_string()), &url).await);
    }
    let content = noise(MIB);
    let pushed = accounts
        .iter()
        .flat_map(|(laptop, phone)| [laptop, phone])
        .map(|client| {
            let content = content.clone();
            async move {
                client
                    .push([Change::new("large", content)])
                    .await
                    .expect("taken")
            }
        });
    futures_util::future::join_all(pushed).await;
    for (laptop, phone) in &accounts {
        receives(phone, &content).await;
        receives(laptop, &content).await;
    }
    server.stop().await;
}

/// Passes connections on to a relay; the first ones break after a number of bytes, back and forth.
fn breaking(relay: &str, mut breaks: u32) -> (String, Arc<Mutex<u32>>) {
    let target = relay
        .strip_prefix("ws://")
        .expect("a plain address")
        .to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("ws://{}", listener.local_addr().expect("an address"));
    let broken = Arc::new(Mutex::new(0));
    let count = Arc::clone(&broken);
    std::thread::spawn(move || {
        let mut state = 7;
        for near in listener.incoming().map_while(Result::ok) {
            let Ok(far) = TcpStream::connect(&target) else {
                continue;
            };
            let left = if breaks == 0 {
                u64::MAX
            } else {
                500_000 + next(&mut state) % 3_000_000
            };
            breaks = breaks.saturating_sub(1);
            let left = Arc::new(Mutex::new(left));
            for (from, to) in [(&near, &far), (&far, &near)] {
                let (from, to) = (
                    from.try_clone().expect("a socket"),
                    to.try_clone().expect("a socket"),
                );
                let (left, count) = (Arc::clone(&left), Arc::clone(&count));
                std::thread::spawn(move || pass(from, to, &left, &count));
            }
        }
    });
    (url, broken)
}

fn pass(mut from: TcpStream, mut to: TcpStream, left: &Mutex<u64>, broken: &Mutex<u32>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(bytes @ 1..) = from.read(&mut buffer) {
        let mut left = left.lock().expect("not poisoned");
        if *left < bytes as u64 {
            *left = 0;
            *broken.lock().expect("not poisoned") += 1;
            break;
        }
        *left -= bytes as u64;
        drop(left);
        if to.write_all(&buffer[..bytes]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

#[test]
fn large_change_survives_disconnects_and_kills() {
    let home = Home::new();
    let mut relay = Relay::start(&home);
    let (url, broken) = breaking(&relay.url, 20);
    relay.url = url;
    relay.create(&home, "desk", "Desk");
    pair(&home, "desk", "phone", "Phone");
    let text = data_encoding::BASE64.encode(&noise(18 * MIB));
    let large = format!("{{\"id\":\"large\",\"data\":\"{text}\"}}");
    let sent = [large, "{\"id\":\"small\"}".to_owned()];
    write(&home.path("changes.jsonl"), &sent);
    let mut pushing = home.start_client("desk", &["push", "--jsonl", "changes.jsonl"]);

    let journal = || std::fs::metadata(home.path("phone/journal")).map_or(0, |file| file.len());
    let deadline = Instant::now() + LONG;
    for _ in 0..4 {
        let before = journal();
        let mut follow =
            home.start_client("phone", &["pull", "--follow", "--jsonl", "phone.jsonl"]);
        while journal() < before + 3 * MIB as u64 {
            assert!(
                !follow.has_ended() && Instant::now() < deadline,
                "no part came"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        follow.kill();
        assert!(
            changes(&home.path("phone.jsonl")).is_empty(),
            "half a change was delivered"
        );
    }
    let follow = home.start_client("phone", &["pull", "--jsonl", "phone.jsonl", "--until", "2"]);
    follow.wait().success();
    assert!(changes(&home.path("phone.jsonl")) == sent);
    while !pushing.has_ended() {
        assert!(Instant::now() < deadline, "the push does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
    pushing.wait().success();
    assert!(
        *broken.lock().expect("not poisoned") > 8,
        "the connection broke {broken:?} times"
    );
    home.client("phone", &["pull", "--jsonl", "phone.jsonl"])
        .success();
    assert_eq!(changes(&home.path("phone.jsonl")).len(), 2);
    relay.wait_until_empty(&home);
}
