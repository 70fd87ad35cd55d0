//! Certificates from a real ACME server, pebble. Without pebble the tests report that they check
//! nothing.
#![cfg(unix)]

mod harness;
mod pebble;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use graceful_server::net::tls::Challenge;
use tokio_tungstenite::tungstenite::Message;

use harness::{Acme, TestRelay};
use pebble::Pebble;

/// A certificate that needs no renewal during a test.
const LONG_LIVED_S: u32 = 90 * 24 * 60 * 60;

#[tokio::test]
async fn acme_first_certificate_by_tls_alpn_01() {
    let Some(acme) = Acme::new("localhost") else {
        return;
    };
    // The relay looks for itself first, and finds itself.
    let relay_under_test = TestRelay::open(&acme, Challenge::TlsAlpn, true).await;
    let mut pebble = Pebble::new(&acme, &relay_under_test, LONG_LIVED_S);
    pebble.start().await;
    relay_under_test.has_certificate().await;
    let roots = pebble.root().await;
    let answer = relay_under_test
        .ask(roots, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let status = relay_under_test.tls.status();
    assert_eq!((status.tls.as_str(), status.tls_trouble), ("acme", None));

    use std::os::unix::fs::PermissionsExt;
    let mut kept = 0;
    for file in std::fs::read_dir(acme.folder.path().join("tls")).expect("a folder") {
        let file = file.expect("a file");
        assert_eq!(
            file.metadata().expect("there").permissions().mode() & 0o777,
            0o600,
            "{file:?}"
        );
        kept += 1;
    }
    assert_eq!(kept, 3, "account, certificate, attempts");
}

#[tokio::test]
async fn acme_first_certificate_by_http_01() {
    let Some(acme) = Acme::new("localhost") else {
        return;
    };
    let relay_under_test = TestRelay::open(&acme, Challenge::Http, true).await;
    let mut pebble = Pebble::new(&acme, &relay_under_test, LONG_LIVED_S);
    pebble.start().await;
    relay_under_test.has_certificate().await;
    let answer = relay_under_test
        .ask(
            pebble.root().await,
            "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
        )
        .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn acme_renewal_keeps_connections_and_restart_reuses() {
    let Some(acme) = Acme::new("relay.example") else {
        return;
    };
    let relay_under_test = TestRelay::open(&acme, Challenge::TlsAlpn, false).await;
    let mut pebble = Pebble::new(&acme, &relay_under_test, 15);
    pebble.start().await;
    relay_under_test.has_certificate().await;
    let first = relay_under_test.tls.status().certificate_expires_s;
    let mut socket = relay_under_test.websocket(pebble.root().await).await;
    relay_under_test
        .until(|status| status.certificate_expires_s > first)
        .await;
    socket
        .send(Message::Ping(Bytes::from_static(b"?")))
        .await
        .expect("open");
    loop {
        match socket.next().await {
            Some(Ok(Message::Pong(_))) => break,
            Some(Ok(Message::Binary(_))) => {}
            other => panic!("cut: {other:?}"),
        }
    }
    // The next process loads the renewed certificate without the authority.
    pebble.stop();
    drop(relay_under_test);
    let again = TestRelay::open(&acme, Challenge::TlsAlpn, false).await;
    assert!(again.tls.status().certificate_expires_s > first);
}

#[tokio::test]
async fn acme_name_elsewhere_fails_waits_and_recovers() {
    let Some(acme) = Acme::new("relay.example") else {
        return;
    };
    let relay_under_test = TestRelay::open(&acme, Challenge::TlsAlpn, false).await;
    let mut pebble = Pebble::new(&acme, &relay_under_test, LONG_LIVED_S);
    pebble.route_to("127.0.0.9");
    pebble.start().await;
    let refused = |text: &str| text.contains("the challenge for relay.example failed");
    relay_under_test
        .until(|status| status.tls_trouble.as_deref().is_some_and(refused))
        .await;
    let trouble = relay_under_test
        .tls
        .status()
        .tls_trouble
        .unwrap_or_default();
    assert!(trouble.contains("tried again in"), "{trouble}");
    assert_eq!(relay_under_test.tls.status().certificate_expires_s, None);
    pebble.route_to("127.0.0.1");
    relay_under_test.has_certificate().await;
    assert_eq!(relay_under_test.tls.status().tls_trouble, None);
}

#[tokio::test]
async fn acme_authority_down_at_start_is_retried() {
    let Some(acme) = Acme::new("relay.example") else {
        return;
    };
    let relay_under_test = TestRelay::open(&acme, Challenge::TlsAlpn, false).await;
    let mut pebble = Pebble::new(&acme, &relay_under_test, LONG_LIVED_S);
    relay_under_test
        .until(|status| {
            status
                .tls_trouble
                .as_deref()
                .is_some_and(|text| text.contains("tried again"))
        })
        .await;
    // The server accepts connections, but has no valid certificate to present.
    let error = relay_under_test
        .shake(acme.authority.client())
        .await
        .expect_err("not good")
        .to_string();
    assert!(error.contains("UnknownIssuer"), "{error}");
    pebble.start().await;
    relay_under_test.has_certificate().await;
}

/// An authority that drops every connection and counts them.
#[tokio::test]
async fn acme_restart_loop_spends_five_attempts_at_most() {
    let mut acme = Acme::without_pebble("relay.example");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    acme.directory = format!(
        "https://localhost:{}/dir",
        listener.local_addr().expect("bound").port()
    );
    acme.minute = Duration::from_secs(1);
    let came = Arc::new(AtomicUsize::new(0));
    let counting = came.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counting.fetch_add(1, Ordering::SeqCst);
            drop(stream);
        }
    });
    for _ in 0..30 {
        let relay_under_test = TestRelay::open(&acme, Challenge::TlsAlpn, false).await;
        // Long enough to fail, were it allowed to try.
        tokio::time::sleep(Duration::from_millis(100)).await;
        // The response says no more than that.
        relay_under_test.tls.reload().expect("asked");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let came = came.load(Ordering::SeqCst);
    assert!((1..=5).contains(&came), "{came} attempts");
}

#[tokio::test]
async fn acme_name_without_dns_spends_no_attempt() {
    let mut acme = Acme::without_pebble("nowhere.invalid");
    acme.minute = Duration::from_millis(50);
    let relay_under_test = TestRelay::open(&acme, Challenge::TlsAlpn, true).await;
    relay_under_test
        .until(|status| {
            status
                .tls_trouble
                .as_deref()
                .is_some_and(|text| text.contains("has no DNS record"))
        })
        .await;
    assert!(!acme.folder.path().join("tls/acme-attempts.json").exists());
    drop(relay_under_test);
    // Something else answers there.
    let acme = Acme::without_pebble("localhost");
    let other = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let port = other.local_addr().expect("bound").port();
    tokio::spawn(async move { while other.accept().await.is_ok() {} });
    let relay_under_test = TestRelay::open_at(&acme, Challenge::TlsAlpn, Some(port)).await;
    let told = |text: &str| text.contains("something else answers");
    relay_under_test
        .until(|status| status.tls_trouble.as_deref().is_some_and(told))
        .await;
    assert!(!acme.folder.path().join("tls/acme-attempts.json").exists());
}
