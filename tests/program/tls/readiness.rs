//! One readiness for every reader: a certificate that is missing or has expired is seen by `/health/ready`, the
//! status report that `status` and `healthcheck` print, the uptime log, the canary and the metrics alike.

use std::path::Path;

use graceful_rules::sla::SlaTerms;
use graceful_server::admin::{AdminRequest, AdminResponse, AdminService, Socket, request, serve};
use graceful_server::http::{self, Admission, Listener};
use graceful_server::net::tls::{AcmeSetup, Challenge, Tls, TlsSetup};
use graceful_server::observe::{CanaryRunner, CanaryTarget, Recorder};
use graceful_server::relay::{Registration, Relay, RelayOptions};
use graceful_store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::authority::Authority;
use graceful_testing::server;

/// What each reader says.
#[derive(Debug)]
struct Seen {
    health: String,
    state: String,
    messages: String,
    ready_metric: bool,
    canary: Result<(), String>,
    uptime_log: String,
}

fn acme_without_certificate() -> TlsSetup {
    TlsSetup::Acme(AcmeSetup {
        names: vec!["localhost".to_owned()],
        // Nothing listens there, so that no certificate comes.
        directory: "https://127.0.0.1:1/directory".to_owned(),
        contact: None,
        authority: None,
        challenge: Challenge::TlsAlpn,
        own_port: None,
        minute: std::time::Duration::from_secs(60),
    })
}

fn manual(folder: &Path, days_left: i64) -> TlsSetup {
    let pair = Authority::new().write_valid_for(folder, &["localhost"], days_left);
    TlsSetup::Files {
        certificate: pair.certificate,
        key: pair.key,
    }
}

fn sla_terms() -> SlaTerms {
    SlaTerms {
        target_percent: 99.9,
        credits: Vec::new(),
        planned_stop_max_ms: 0,
        reports_max: 1,
    }
}

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("open");
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("open");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("an answer");
    text
}

/// Runs a relay with this certificate and asks every reader.
async fn seen(setup: impl FnOnce(&Path) -> TlsSetup) -> Seen {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let store = graceful_store::Options {
        registration: Registration::Open,
        cache_bytes: 8 << 20,
        ..graceful_store::Options::default()
    };
    let relay = Relay::start(
        Store::open(&data, store).expect("a store"),
        RelayOptions::default(),
    );
    let setup = setup(folder.path());
    let tls = Tls::prepare(setup, Vec::new(), folder.path()).expect("a certificate to serve");
    let bind = || TcpListener::bind("127.0.0.1:0");
    let (tcp, metrics) = (bind().await.expect("a port"), bind().await.expect("a port"));
    let (address, metrics_address) = (
        tcp.local_addr().expect("an address"),
        metrics.local_addr().expect("an address"),
    );
    let recorder = Recorder::begin(&data, sla_terms(), relay.clone());
    let cancel = CancellationToken::new();
    let socket = Socket::bind(&data).await.expect("a socket");
    let service = AdminService::new(relay.clone(), Some(tls.clone()));
    let serving = tokio::spawn(serve(socket, service, cancel.clone()));
    let listener = Listener::with_tls(tcp, tls.clone(), None).with_metrics(metrics);
    let running = tokio::spawn(http::run(
        listener,
        relay.clone(),
        server::options(),
        cancel.clone(),
    ));

    let health = get(metrics_address, "/health/ready").await;
    let metrics = get(metrics_address, "/metrics").await;
    let AdminResponse::Status(status) = request(&data, &AdminRequest::Status {})
        .await
        .expect("an answer")
    else {
        panic!("a status");
    };
    let target = CanaryTarget::new(address, Some(tls), &Admission::default());
    let ok = CanaryRunner::new(relay.clone(), target).run_once().await;
    let canary = match ok {
        true => Ok(()),
        false => Err(relay.canary().last_result().error.unwrap_or_default()),
    };
    recorder.note().await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    recorder.note().await;
    cancel.cancel();
    serving.await.expect("no panic");
    running.await.expect("no panic").expect("an orderly end");
    let uptime_log = std::fs::read_to_string(data.join("sla/ledger.jsonl")).expect("a log");
    Seen {
        health,
        state: status["state"].as_str().unwrap_or_default().to_owned(),
        messages: status["not_ready_messages"].to_string(),
        ready_metric: metrics.contains("\ngraceful_relay_ready 1"),
        canary,
        uptime_log,
    }
}

fn assert_not_ready(seen: &Seen, code: &str, message: &str) {
    assert!(seen.health.starts_with("HTTP/1.1 503"), "{seen:?}");
    assert!(seen.health.contains(message), "{seen:?}");
    assert_eq!(seen.state, code, "{seen:?}");
    assert!(seen.messages.contains(message), "{seen:?}");
    assert!(!seen.ready_metric, "{seen:?}");
    assert_eq!(seen.canary.as_ref(), Err(&message.to_owned()), "{seen:?}");
    assert!(seen.uptime_log.contains(message), "{seen:?}");
}

#[tokio::test]
async fn readiness_with_a_missing_certificate_is_false_everywhere() {
    let seen = seen(|_| acme_without_certificate()).await;
    let message = "the TLS certificate has not been issued yet";
    assert_not_ready(&seen, "certificate_missing", message);
}

#[tokio::test]
async fn readiness_with_an_expired_certificate_is_false_everywhere() {
    let seen = seen(|folder| manual(folder, -1)).await;
    let message = "the TLS certificate has expired";
    assert_not_ready(&seen, "certificate_expired", message);
}

#[tokio::test]
async fn readiness_with_a_valid_certificate_is_true_everywhere() {
    let seen = seen(|folder| manual(folder, 30)).await;
    assert!(seen.health.starts_with("HTTP/1.1 200"), "{seen:?}");
    assert_eq!((seen.state.as_str(), seen.ready_metric), ("ready", true));
    assert_eq!(seen.canary, Ok(()));
    assert!(!seen.uptime_log.contains("cause"), "{seen:?}");
}
