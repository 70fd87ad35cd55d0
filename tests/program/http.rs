//! HTTP and WebSocket behavior of the real server.

use std::time::Duration;

use futures_util::SinkExt;
use graceful_protocol::frame::{self, DeviceFrame, RelayFrame};
use graceful_protocol::{Code, EXCHANGE_PATH, SOCKET_PATH, wire};
use graceful_server::http::Options;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::{Error, Message};

use graceful_testing::server::{close_code, exchange, nonce, open, options};

#[tokio::test]
async fn unknown_path_names_the_right_one() {
    let server = open(options()).await;
    for path in ["/", "/v1", "/v1/sync/more", "/v2/sync", "/favicon.ico"] {
        let answer = server.ask("GET", path, "").await;
        assert_eq!(answer.status(), "404", "{path}");
        assert!(
            answer.head.contains("content-type: text/plain"),
            "{}",
            answer.head
        );
        assert!(answer.text().contains("/v1/sync"), "{}", answer.text());
    }
    server.stop().await;
}

#[tokio::test]
async fn http_connection_serves_one_request() {
    let server = open(options()).await;
    let mut stream = server.connect().await;
    // Two requests at once, and no word of closing: one answer comes, and then the end.
    let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream
        .write_all(&[&request[..], request].concat())
        .await
        .expect("open");
    let mut answers = String::new();
    let _ = stream.read_to_string(&mut answers).await;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 1, "{answers}");
    server.stop().await;
}

#[tokio::test]
async fn health_returns_one_word() {
    let server = open(options()).await;
    let answer = server.ask("GET", "/health", "").await;
    assert_eq!((answer.status(), answer.text().as_str()), ("200", "up\n"));
    assert_eq!(server.ask("HEAD", "/health", "").await.status(), "200");
    assert_eq!(
        server
            .ask("POST", "/health", "Content-Length: 0\r\n")
            .await
            .status(),
        "405"
    );
    server.stop().await;
}

#[tokio::test]
async fn plain_get_at_socket_path_is_explained() {
    let server = open(options()).await;
    let answer = server.ask("GET", SOCKET_PATH, "").await;
    assert_eq!(answer.status(), "426");
    assert!(
        answer.head.contains("upgrade: websocket"),
        "{}",
        answer.head
    );
    assert!(answer.text().contains("WebSocket"), "{}", answer.text());
    assert_eq!(
        server
            .ask("POST", SOCKET_PATH, "Content-Length: 0\r\n")
            .await
            .status(),
        "405"
    );
    server.stop().await;
}

#[tokio::test]
async fn incomplete_websocket_handshake_is_refused() {
    let server = open(options()).await;
    let asking = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n";
    let old = format!(
        "{asking}Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    let answer = server.ask("GET", SOCKET_PATH, &old).await;
    assert_eq!(answer.status(), "426");
    assert!(
        answer.head.contains("sec-websocket-version: 13"),
        "{}",
        answer.head
    );
    let keyless = format!("{asking}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n");
    assert_eq!(
        server.ask("GET", SOCKET_PATH, &keyless).await.status(),
        "400"
    );
    server.stop().await;
}

#[tokio::test]
async fn client_is_greeted_and_informed_of_stop() {
    let server = open(options()).await;
    let client = server.greeted().await;
    server.shutdown.cancel();
    assert_eq!(close_code(client).await, Some(1012));
    server.stop().await;
}

#[tokio::test]
async fn oversized_message_closes_with_1009() {
    let server = open(options()).await;
    let mut client = server.greeted().await;
    // The peer may find its message unread and the connection closed while it still sends.
    let _ = client.send(Message::Binary(vec![0; 4 << 20].into())).await;
    assert_eq!(close_code(client).await, Some(1009));
    server.stop().await;
}

#[tokio::test]
async fn text_and_unexpected_frames_close_with_4400() {
    let server = open(options()).await;
    let mut client = server.greeted().await;
    client.send(Message::text("hello")).await.expect("open");
    assert_eq!(close_code(client).await, Some(4400));
    let mut client = server.greeted().await;
    let ping = frame::device_bytes(DeviceFrame::Ping(wire::Ping { number: 1 }));
    client.send(Message::Binary(ping)).await.expect("open");
    assert_eq!(close_code(client).await, Some(4400));
    server.stop().await;
}

#[tokio::test]
async fn connection_over_limit_gets_retry_after() {
    let server = open(Options {
        connections_max: 1,
        ..options()
    })
    .await;
    let client = server.greeted().await;
    let Err(Error::Http(response)) = server.client().await else {
        panic!("accepted");
    };
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    // A rejected client gets an answer, and an ended session frees its place.
    assert_eq!(server.ask("GET", "/health", "").await.status(), "200");
    drop(client);
    while server.client().await.is_err() {}
    server.stop().await;
}

#[tokio::test]
async fn missing_request_head_times_out() {
    let server = open(Options {
        head_timeout: Duration::from_millis(50),
        ..options()
    })
    .await;
    for beginning in ["", "GET /health HTTP/1.1\r\nHost: loc"] {
        let mut stream = server.connect().await;
        stream.write_all(beginning.as_bytes()).await.expect("open");
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.expect("an orderly end");
    }
    server.stop().await;
}

#[tokio::test]
async fn oversized_request_head_is_refused() {
    let server = open(options()).await;
    let headers = format!("Filler: {}\r\n", "x".repeat(20 * 1024));
    assert_eq!(server.ask("GET", "/health", &headers).await.status(), "431");
    server.stop().await;
}

#[tokio::test]
async fn exchange_returns_greeting_and_answer() {
    let server = open(options()).await;
    let answer = server.ask("GET", EXCHANGE_PATH, "").await;
    assert_eq!(answer.status(), "200");
    assert!(
        answer
            .head
            .contains("content-type: application/octet-stream"),
        "{}",
        answer.head
    );
    assert!(
        answer.head.contains("access-control-allow-origin: *"),
        "{}",
        answer.head
    );
    let [RelayFrame::Greeting(greeting)] = &answer.frames()[..] else {
        panic!("not one greeting");
    };
    let ping = frame::device_bytes(DeviceFrame::Ping(wire::Ping { number: 1 }));
    let answer = exchange(&server, &greeting.nonce, &frame::join([&ping])).await;
    assert_eq!(
        (answer.status(), answer.refusal()),
        ("400", Code::UnexpectedFrame)
    );
    server.stop().await;
}

#[tokio::test]
async fn malformed_exchange_returns_refusal_frame() {
    let server = open(options()).await;
    let answer = server
        .send("POST", EXCHANGE_PATH, "Content-Length: 2\r\n", b"\x01\x00")
        .await;
    assert_eq!(
        (answer.status(), answer.refusal()),
        ("400", Code::Malformed)
    );
    let headers = format!(
        "Graceful-Nonce: {}\r\nContent-Length: 1\r\n",
        nonce(&server).await
    );
    let answer = server.send("POST", EXCHANGE_PATH, &headers, b"\x7f").await;
    assert_eq!(
        (answer.status(), answer.refusal()),
        ("400", Code::Malformed)
    );
    server.stop().await;
}

#[tokio::test]
async fn oversized_exchange_is_refused() {
    let server = open(options()).await;
    let nonce = nonce(&server).await;
    let announced = format!("Graceful-Nonce: {nonce}\r\nContent-Length: 1000000\r\n");
    let answer = server.ask("POST", EXCHANGE_PATH, &announced).await;
    assert_eq!(
        (answer.status(), answer.refusal()),
        ("413", Code::FrameTooLarge)
    );
    let mut body = format!("{:x}\r\n", 65 * 1024).into_bytes();
    body.resize(body.len() + 65 * 1024, 0);
    let chunked = format!("Graceful-Nonce: {nonce}\r\nTransfer-Encoding: chunked\r\n");
    let answer = server.send("POST", EXCHANGE_PATH, &chunked, &body).await;
    assert_eq!(
        (answer.status(), answer.refusal()),
        ("413", Code::FrameTooLarge)
    );
    server.stop().await;
}

#[tokio::test]
async fn missing_body_times_out() {
    let server = open(Options {
        body_timeout: Duration::from_millis(50),
        ..options()
    })
    .await;
    let nonce = nonce(&server).await;
    let headers = format!("Graceful-Nonce: {nonce}\r\nContent-Length: 10\r\n");
    let answer = server.ask("POST", EXCHANGE_PATH, &headers).await;
    assert_eq!((answer.status(), answer.refusal()), ("408", Code::Timeout));
    server.stop().await;
}

#[tokio::test]
async fn cors_allows_any_origin_by_default() {
    let server = open(options()).await;
    let asking = "Origin: https://app.example\r\nAccess-Control-Request-Method: POST\r\n";
    let answer = server.ask("OPTIONS", EXCHANGE_PATH, asking).await;
    assert_eq!(answer.status(), "204");
    assert!(
        answer
            .head
            .contains("access-control-allow-headers: content-type, graceful-nonce")
    );
    server.stop().await;
}

#[tokio::test]
async fn open_session_is_cut_at_stop_timeout() {
    let limits = Duration::from_millis(50);
    let server = open(Options {
        stop_timeout: limits,
        ..options()
    })
    .await;
    // Says nothing, and never answers the close frame.
    let _client = server.greeted().await;
    server.stop().await;
}
