//! Forged client addresses and origins.

use std::net::Ipv4Addr;

use crate::attacker::{address, asking_for_websocket, connect, get, say, status};
use crate::harness::TestRelay;
use graceful_protocol::{EXCHANGE_PATH, SOCKET_PATH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A low limit, so that an identified client is rejected soon.
const ARRIVALS: usize = 20;

const BEHIND_A_PROXY: [(&str, &str); 2] = [
    ("GRACEFUL_RELAY_SERVER__TRUSTED_PROXIES", "127.0.0.9"),
    ("GRACEFUL_RELAY_RATE_LIMITS__PER_IP_CONNECTIONS", "20/min"),
];

/// How many of these requests were answered 200, and how many 429.
async fn answers(
    relay_under_test: &TestRelay,
    from: Ipv4Addr,
    requests: impl Iterator<Item = Vec<u8>>,
) -> (usize, usize) {
    let (mut well, mut away) = (0, 0);
    for request in requests {
        match status(&say(from, relay_under_test.relay.address, &request).await) {
            "200" => well += 1,
            "429" => away += 1,
            other => panic!("answered {other:?}"),
        }
    }
    (well, away)
}

fn forwarded(hops: &str) -> Vec<u8> {
    get("/health", &format!("X-Forwarded-For: {hops}\r\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn x_forwarded_for_counts_from_trusted_proxy_only() {
    let relay_under_test = TestRelay::open(&BEHIND_A_PROXY);
    let attack = async {
        // A stranger that names another address each time is still one stranger.
        let requests = (0..40).map(|number| forwarded(&format!("192.0.2.{number}")));
        let (well, away) = answers(&relay_under_test, STRANGER, requests).await;
        assert!(
            well <= ARRIVALS + 2 && away >= 18,
            "{well} well, {away} away"
        );
        // Behind the proxy each address counts for itself,
        let requests = (0..40).map(|number| forwarded(&format!("192.0.2.{number}")));
        assert_eq!(answers(&relay_under_test, PROXY, requests).await, (40, 0));
        // and what a client put before its own address is a claim.
        let requests =
            (0..40).map(|number| forwarded(&format!("203.0.113.{number}, 198.51.100.7")));
        let (well, away) = answers(&relay_under_test, PROXY, requests).await;
        assert!(
            well <= ARRIVALS + 2 && away >= 18,
            "{well} well, {away} away"
        );
        // The proxy itself is held to nothing.
        let requests = (0..40).map(|_| get("/health", ""));
        assert_eq!(answers(&relay_under_test, PROXY, requests).await, (40, 0));
    };
    relay_under_test
        .while_syncing("forged X-Forwarded-For", attack)
        .await;
}

fn proxy_header(client: [u8; 4], request: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    bytes.extend(client);
    bytes.extend([127, 0, 0, 1, 0x12, 0x34, 0, 80]);
    bytes.extend(request);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn proxy_header_counts_from_trusted_proxy_only() {
    let required = ("GRACEFUL_RELAY_SERVER__PROXY_PROTOCOL", "required");
    let relay_under_test = TestRelay::open(&[BEHIND_A_PROXY[0], BEHIND_A_PROXY[1], required]);
    let relay = relay_under_test.relay.address;
    let health = get("/health", "");
    let attack = async {
        let answer = say(STRANGER, relay, &proxy_header([192, 0, 2, 1], &health)).await;
        assert_ne!(status(&answer), "200", "{answer}");
        let requests = (0..40).map(|number| proxy_header([192, 0, 2, number], &health));
        assert_eq!(answers(&relay_under_test, PROXY, requests).await, (40, 0));
        let requests = (0..40).map(|_| proxy_header([198, 51, 100, 7], &health));
        let (well, away) = answers(&relay_under_test, PROXY, requests).await;
        assert!(
            well <= ARRIVALS + 2 && away >= 18,
            "{well} well, {away} away"
        );
        // A trusted proxy without the header is rejected.
        assert_eq!(say(PROXY, relay, &health).await, "");
        // Nor does a client slip its own past the proxy's.
        let twice = proxy_header([192, 0, 2, 200], &proxy_header([192, 0, 2, 201], &health));
        assert_ne!(status(&say(PROXY, relay, &twice).await), "200");
    };
    relay_under_test
        .while_syncing("forged PROXY headers", attack)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn origin_not_on_list_is_refused() {
    let relay_under_test = TestRelay::open(&[(
        "GRACEFUL_RELAY_SERVER__ALLOWED_ORIGINS",
        "https://app.example",
    )]);
    let relay = relay_under_test.relay.address;
    let attack = async {
        for origin in [
            "https://evil.example",
            "http://app.example",
            "https://app.example.evil",
            "null",
        ] {
            let header = format!("Origin: {origin}\r\n");
            let answer = say(address(0, 2), relay, &asking_for_websocket(&header)).await;
            assert_eq!(
                status(&answer),
                "403",
                "{SOCKET_PATH} for {origin}: {answer}"
            );
            let answer = say(address(0, 2), relay, &get(EXCHANGE_PATH, &header)).await;
            assert_eq!(
                status(&answer),
                "403",
                "{EXCHANGE_PATH} for {origin}: {answer}"
            );
            assert!(
                !answer
                    .to_lowercase()
                    .contains("access-control-allow-origin"),
                "{answer}"
            );
        }
        let answer = say(
            address(0, 2),
            relay,
            &get(EXCHANGE_PATH, "Origin: https://app.example\r\n"),
        )
        .await;
        assert_eq!(status(&answer), "200");
        assert!(
            answer.contains("access-control-allow-origin: https://app.example"),
            "{answer}"
        );
        // The page on the list gets its socket, and so does a program, which has no page.
        for header in ["Origin: https://app.example\r\n", ""] {
            let mut stream = connect(address(0, 2), relay)
                .await
                .expect("the port is open");
            stream
                .write_all(&asking_for_websocket(header))
                .await
                .expect("open");
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.expect("an answer");
            assert_eq!(&answer, b"HTTP/1.1 101");
        }
    };
    relay_under_test
        .while_syncing("pages of others", attack)
        .await;
}
