//! Security headers of every response.

use graceful_protocol::{EXCHANGE_PATH, SOCKET_PATH};
use graceful_server::http::Options;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::harness::TestRelay;
use graceful_testing::server::{self, options};

const ALWAYS: [&str; 4] = [
    "x-content-type-options: nosniff",
    "referrer-policy: no-referrer",
    "content-security-policy: default-src 'none'; frame-ancestors 'none'",
    "cache-control: no-store",
];

fn has_all(answer: &str, over_tls: bool) {
    let (head, _) = answer.split_once("\r\n\r\n").expect("a head");
    for header in ALWAYS {
        assert!(
            head.lines().any(|line| line == header),
            "{header} is not in\n{head}"
        );
    }
    let promised = head
        .lines()
        .any(|line| line == "strict-transport-security: max-age=31536000");
    assert_eq!(promised, over_tls, "{head}");
}

fn upgrade() -> String {
    format!(
        "GET {SOCKET_PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
}

/// A request for each kind of answer, and the status that shows that it is of that kind.
fn requests() -> Vec<(&'static str, String)> {
    let request = |method: &str, path: &str, more: &str| {
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n")
    };
    let nonce = "Graceful-Nonce: AAAA\r\nContent-Length: 0\r\n";
    vec![
        ("200", request("GET", "/health", "")),
        ("200", request("HEAD", "/health", "")),
        ("200", request("GET", EXCHANGE_PATH, "")),
        ("204", request("OPTIONS", EXCHANGE_PATH, "")),
        (
            "400",
            request("POST", EXCHANGE_PATH, "Content-Length: 0\r\n"),
        ),
        ("408", request("POST", EXCHANGE_PATH, nonce)),
        ("404", request("GET", "/favicon.ico", "")),
        ("404", request("POST", "/", "Content-Length: 0\r\n")),
        ("405", request("DELETE", "/health", "")),
        ("405", request("PUT", SOCKET_PATH, "Content-Length: 0\r\n")),
        (
            "405",
            request("PATCH", EXCHANGE_PATH, "Content-Length: 0\r\n"),
        ),
        (
            "413",
            request(
                "POST",
                EXCHANGE_PATH,
                "Graceful-Nonce: AAAA\r\nContent-Length: 99999999\r\n",
            ),
        ),
        ("426", request("GET", SOCKET_PATH, "")),
        ("503", upgrade()),
    ]
}

#[tokio::test]
async fn every_tls_response_has_security_headers() {
    let relay_under_test = TestRelay::open(Options {
        connections_max: 0,
        ..options()
    })
    .await;
    for (status, request) in requests() {
        let answer = relay_under_test.ask(&request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{request}\n{answer}"
        );
        has_all(&answer, true);
    }
}

#[tokio::test]
async fn upgrade_response_has_security_headers() {
    let relay_under_test = TestRelay::open(options()).await;
    let mut stream = relay_under_test.connect().await;
    stream.write_all(upgrade().as_bytes()).await.expect("open");
    let mut answer = [0; 1024];
    let length = stream.read(&mut answer).await.expect("an answer");
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    has_all(&answer, true);
}

#[tokio::test]
async fn plain_response_has_no_hsts_header() {
    let server = server::open(Options {
        connections_max: 0,
        ..options()
    })
    .await;
    for (status, request) in requests() {
        let mut stream = server.connect().await;
        stream.write_all(request.as_bytes()).await.expect("open");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an answer");
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{request}\n{answer}"
        );
        has_all(&answer, false);
    }
    server.stop().await;
}

#[tokio::test]
async fn plain_http_redirects_to_https() {
    let relay_under_test = TestRelay::open(options()).await;
    let ask = async |request: &str| {
        let mut stream = TcpStream::connect(relay_under_test.plain)
            .await
            .expect("open");
        stream.write_all(request.as_bytes()).await.expect("open");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    };
    // Another name in the request leads nowhere else.
    let answer = ask("GET /v1/sync?a=b HTTP/1.1\r\nHost: evil.example\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
    assert!(
        answer.contains("location: https://localhost/v1/sync?a=b\r\n"),
        "{answer}"
    );
    has_all(&answer, false);
    let answer =
        ask("POST /v1/exchange HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    has_all(&answer, false);
}
