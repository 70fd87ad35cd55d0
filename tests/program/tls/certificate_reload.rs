//! Certificate replacement during open connections.

use futures_util::{SinkExt, StreamExt};
use graceful_server::net::tls::{Tls, TlsSetup};
use tokio_tungstenite::tungstenite::Message;

use super::authority::Authority;
use super::harness::TestRelay;
use graceful_testing::server::{LONG, options};

/// The connection still carries messages both ways.
async fn is_alive(
    socket: &mut (
             impl StreamExt<Item = Result<Message, tokio_tungstenite::tungstenite::Error>>
             + SinkExt<Message>
             + Unpin
         ),
) {
    assert!(
        socket
            .send(Message::Ping(bytes::Bytes::from_static(b"?")))
            .await
            .is_ok(),
        "cut"
    );
    loop {
        match socket.next().await {
            Some(Ok(Message::Pong(_))) => return,
            Some(Ok(Message::Binary(_))) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn changed_certificate_is_loaded_without_disconnects() {
    let relay_under_test = TestRelay::open(options()).await;
    let before = relay_under_test.shown().await;
    let mut socket = relay_under_test.websocket().await;
    let (chain, key) = relay_under_test.authority.chain(&["localhost"]);
    relay_under_test.pair.replace(&chain, &key);
    // Nobody tells it: it looks.
    let seen = async {
        while relay_under_test.shown().await == before {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LONG, seen)
        .await
        .expect("the change is seen");
    is_alive(&mut socket).await;
    assert_eq!(relay_under_test.tls.status().tls_trouble, None);
}

#[tokio::test]
async fn mismatched_key_pair_keeps_old_certificate() {
    let relay_under_test = TestRelay::open(options()).await;
    let before = relay_under_test.shown().await;
    let (good_chain, good_key) = relay_under_test.authority.chain(&["localhost"]);
    let (_, other_key) = relay_under_test.authority.chain(&["localhost"]);
    let cases = [
        (
            good_chain.as_str(),
            other_key.as_str(),
            "do not belong together",
        ),
        (
            "-----BEGIN CERT",
            good_key.as_str(),
            "no certificate in PEM form",
        ),
        (good_chain.as_str(), "", "no usable private key in PEM form"),
    ];
    for (chain, key, why) in cases {
        relay_under_test.pair.replace(chain, key);
        let error = relay_under_test
            .tls
            .reload()
            .expect_err("it does not serve")
            .to_string();
        assert!(error.contains(why), "{error}");
        assert_eq!(relay_under_test.shown().await, before);
        let trouble = relay_under_test
            .tls
            .status()
            .tls_trouble
            .expect("it is told");
        assert!(
            trouble.contains(why) && trouble.contains("stays in use"),
            "{trouble}"
        );
    }
    relay_under_test.pair.replace(&good_chain, &good_key);
    relay_under_test.pair.allow(0o644);
    let error = relay_under_test
        .tls
        .reload()
        .expect_err("world-readable")
        .to_string();
    assert!(error.contains("chmod o="), "{error}");
    assert_eq!(relay_under_test.shown().await, before);
    relay_under_test.pair.allow(0o640);
    assert!(
        relay_under_test
            .tls
            .reload()
            .expect("good")
            .contains("valid until")
    );
    assert_ne!(relay_under_test.shown().await, before);
    assert_eq!(relay_under_test.tls.status().tls_trouble, None);
    std::fs::remove_file(&relay_under_test.pair.key).expect("ours");
    assert!(
        relay_under_test
            .tls
            .reload()
            .expect_err("it is gone")
            .to_string()
            .contains("cannot read")
    );
    assert!(!relay_under_test.shown().await.is_empty());
}

#[tokio::test]
async fn certificate_warnings_are_logged_at_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let pair = Authority::new().write(folder.path(), &["relay.example", "192.0.2.7"]);
    let setup = TlsSetup::Files {
        certificate: pair.certificate.clone(),
        key: pair.key.clone(),
    };
    let prepare = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Tls::prepare(setup.clone(), names, folder.path())
    };
    let tls = prepare(&[]).expect("good");
    assert_eq!(tls.names(), ["relay.example", "192.0.2.7"]);
    let status = tls.status();
    assert_eq!((status.tls.as_str(), status.tls_trouble), ("manual", None));
    let trouble = prepare(&["other.example"])
        .expect("served all the same")
        .status()
        .tls_trouble;
    assert!(
        trouble
            .as_deref()
            .is_some_and(|text| text.contains("not valid for other.example")),
        "{trouble:?}"
    );
    pair.allow(0o644);
    assert!(prepare(&[]).is_err());
}

/// The certificate's end by the shown certificate itself, in seconds since 1970.
fn end_of(certificate: &[u8]) -> i64 {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).expect("a certificate");
    parsed.validity().not_after.timestamp()
}

#[tokio::test]
async fn certificate_expiry_is_a_metric() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let relay_under_test = TestRelay::open(options()).await;
    let mut stream = tokio::net::TcpStream::connect(relay_under_test.operators)
        .await
        .expect("open");
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("text");
    let name = "graceful_relay_certificate_expiry_timestamp_seconds ";
    let value = answer
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .expect("it is there");
    let shown = end_of(&relay_under_test.shown().await);
    assert_eq!(
        value.parse::<f64>().expect("a number"),
        shown as f64,
        "of the certificate that is shown"
    );
}
