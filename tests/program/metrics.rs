//! Metrics and readiness of a real relay that has done some work.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use graceful_server::http::{self, BearerToken, Listener, ReloadHandle, ReloadableOptions};
use graceful_server::observe::{CanaryRunner, CanaryTarget};
use graceful_server::relay::{Registration, Relay, RelayOptions};
use graceful_store::{self, Store};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use graceful_testing::device::Device;
use graceful_testing::fixtures;
use graceful_testing::server::{self, Answer, TestServer};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// The list for people.
const LIST: &str = include_str!("../../docs/reference/metrics.md");

/// Only with TLS.
const WITH_TLS: &str = "graceful_relay_certificate_expiry_timestamp_seconds";

struct Watched {
    server: TestServer,
    operators: SocketAddr,
}

async fn open(live: ReloadableOptions) -> Watched {
    open_with(
        live,
        graceful_store::Options {
            registration: Registration::Open,
            ..Default::default()
        },
    )
    .await
}

async fn open_with(live: ReloadableOptions, store: graceful_store::Options) -> Watched {
    let folder = tempfile::tempdir().expect("a folder");
    let store = graceful_store::Options {
        cache_bytes: 8 << 20,
        ..store
    };
    let store = Store::open(folder.path(), store).expect("a store");
    let relay = Relay::start(store, RelayOptions::default());
    let [tcp, operators] = [bind().await, bind().await];
    let (address, at) = (
        tcp.local_addr().expect("bound"),
        operators.local_addr().expect("bound"),
    );
    let listener = Listener::from(tcp)
        .with_metrics(operators)
        .with_reloadable(ReloadHandle::new(live));
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(http::run(
        listener,
        relay.clone(),
        server::options(),
        shutdown.clone(),
    ));
    Watched {
        server: TestServer {
            address,
            relay,
            folder,
            shutdown,
            running,
        },
        operators: at,
    }
}

async fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port")
}

async fn ask(address: SocketAddr, path: &str, headers: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.expect("open");
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("open");
    Answer::read(stream).await
}

/// Creates an account and pushes one envelope.
async fn work(server: &TestServer) {
    let mut device = Device::create(server, 1).await;
    device.push(vec![fixtures::pushed(1, 1, 400, None)]).await;
    device.stored().await;
}

/// Each metric by the name that its `# TYPE` line gives, with the sum of all its samples.
fn read(text: &str) -> BTreeMap<String, f64> {
    let mut metrics = BTreeMap::new();
    for line in text.lines() {
        if let Some(name) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split(' ').next())
        {
            metrics.insert(name.to_owned(), 0.0);
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').expect("a sample");
            let name = name.split('{').next().expect("a name");
            let of = |suffix| name.strip_suffix(suffix).unwrap_or(name);
            let base = ["_total", "_bucket", "_sum", "_count", "_info"]
                .into_iter()
                .map(of);
            let base = base
                .chain([name])
                .find(|base| metrics.contains_key(*base))
                .expect("announced");
            *metrics.get_mut(base).expect("announced") += value.parse::<f64>().expect("a number");
        }
    }
    metrics
}

/// Names in the first column of the tables of the list.
fn listed() -> BTreeSet<String> {
    let rows = LIST
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    rows.map(str::to_owned).collect()
}

#[tokio::test]
async fn metrics_page_and_endpoint_agree() {
    let watched = open(ReloadableOptions::default()).await;
    work(&watched.server).await;
    let answer = ask(watched.operators, "/metrics", "").await;
    assert!(
        answer.head.contains("application/openmetrics-text"),
        "{}",
        answer.head
    );
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"));
    let metrics = read(&text);
    let mut listed = listed();
    assert!(listed.len() > 25 && listed.remove(WITH_TLS), "{listed:?}");
    assert_eq!(metrics.keys().cloned().collect::<BTreeSet<_>>(), listed);
    for name in [
        "push_duration_seconds",
        "commit_duration_seconds",
        "commands_committed",
        "accounts",
        "envelopes",
        "received_bytes",
        "sent_bytes",
        "store_bytes",
        "disk_free_bytes",
        "connections_accepted",
        "envelopes_pushed",
        "uptime_seconds",
        "ready",
    ] {
        assert!(
            metrics[&format!("graceful_relay_{name}")] > 0.0,
            "{name} in {text}"
        );
    }
    // Of the processor's time it may not have had a whole tick.
    for name in [
        "resident_memory_bytes",
        "open_fds",
        "max_fds",
        "threads",
        "start_time_seconds",
    ] {
        assert!(metrics[&format!("process_{name}")] > 0.0, "{name}");
    }
    watched.server.stop().await;
}

#[tokio::test]
async fn metrics_have_no_identifying_labels() {
    let watched = open(ReloadableOptions::default()).await;
    work(&watched.server).await;
    let before = ask(watched.operators, "/metrics", "")
        .await
        .text()
        .lines()
        .count();
    for _ in 0..20 {
        drop(watched.server.greeted().await);
    }
    let after = ask(watched.operators, "/metrics", "").await.text();
    assert_eq!(after.lines().count(), before, "more lines with more users");
    assert!(!after.contains("127.0.0.1"));
    watched.server.stop().await;
}

fn secret(folder: &Path) -> BearerToken {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("token");
    std::fs::write(&path, TOKEN).expect("a file");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("ours");
    BearerToken::read(&path).expect("a secret")
}

#[tokio::test]
async fn status_and_metrics_require_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = Some(secret(folder.path()));
    let live = ReloadableOptions {
        status_token: token.clone(),
        metrics_token: token,
        ..ReloadableOptions::default()
    };
    let watched = open(live).await;
    let shown = format!("Authorization: Bearer {TOKEN}\r\n");
    for (address, path) in [
        (watched.operators, "/metrics"),
        (watched.operators, "/status"),
        (watched.server.address, "/status"),
    ] {
        let refused = ask(address, path, "").await;
        assert_eq!(refused.status(), "401", "{path}");
        assert!(
            refused.head.contains("www-authenticate: bearer"),
            "{}",
            refused.head
        );
        assert_eq!(
            ask(address, path, "Authorization: Bearer wrong\r\n")
                .await
                .status(),
            "401"
        );
        assert_eq!(ask(address, path, &shown).await.status(), "200", "{path}");
    }
    let status = ask(watched.server.address, "/status", &shown).await;
    let status: serde_json::Value = serde_json::from_str(&status.text()).expect("JSON");
    assert_eq!(
        (&status["ready"], &status["accounts"]),
        (&true.into(), &0.into())
    );
    watched.server.stop().await;
}

#[tokio::test]
async fn status_without_token_is_not_served() {
    let watched = open(ReloadableOptions::default()).await;
    for (address, path) in [
        (watched.server.address, "/status"),
        (watched.server.address, "/metrics"),
        (watched.operators, "/status"),
    ] {
        assert_eq!(ask(address, path, "").await.status(), "404", "{path}");
    }
    for path in ["/health", "/health/live", "/health/ready", "/version"] {
        for address in [watched.server.address, watched.operators] {
            assert_eq!(ask(address, path, "").await.status(), "200", "{path}");
        }
    }
    watched.server.stop().await;
}

#[tokio::test]
async fn failed_canary_makes_relay_not_ready_until_success() {
    let watched = open(ReloadableOptions::default()).await;
    let health = watched.server.relay.canary();
    health.record_failure("nothing was delivered".to_owned());
    let answer = ask(watched.server.address, "/health/ready", "").await;
    assert_eq!(answer.status(), "503");
    assert!(
        answer.text().contains("nothing was delivered"),
        "{}",
        answer.text()
    );
    assert_eq!(
        ask(watched.server.address, "/health/live", "")
            .await
            .status(),
        "200"
    );
    health.record_ok(std::time::Duration::from_millis(5));
    assert_eq!(
        ask(watched.server.address, "/health/ready", "")
            .await
            .status(),
        "200"
    );
    watched.server.stop().await;
}

fn way(address: SocketAddr) -> CanaryTarget {
    CanaryTarget {
        address,
        tls: None,
        proxy_header: false,
        host: None,
    }
}

#[tokio::test]
async fn canary_run_leaves_nothing_under_any_registration() {
    for registration in [Registration::Open, Registration::Invite] {
        let store = graceful_store::Options {
            registration,
            ..Default::default()
        };
        let watched = open_with(ReloadableOptions::default(), store).await;
        let relay = watched.server.relay.clone();
        assert!(
            CanaryRunner::new(relay.clone(), way(watched.server.address))
                .run_once()
                .await,
            "{:?}",
            relay.canary().last_result()
        );
        let metrics = relay.metrics();
        assert_eq!((metrics.pushed.get(), metrics.delivered.get()), (1, 1));
        let status = relay.status().expect("a status");
        assert_eq!((status.accounts, status.envelopes), (0, 0));
        assert!(relay.canary().last_result().last_ok_s > 0);
        watched.server.stop().await;
    }
}

#[tokio::test]
async fn canary_is_exempt_from_account_creation_limits() {
    let store = graceful_store::Options {
        registration: Registration::Open,
        ..Default::default()
    };
    let watched = open_with(ReloadableOptions::default(), store).await;
    let trials = CanaryRunner::new(watched.server.relay.clone(), way(watched.server.address));
    // More than the hourly limit of one address.
    for _ in 0..25 {
        assert!(
            trials.run_once().await,
            "{:?}",
            watched.server.relay.canary().last_result()
        );
    }
    watched.server.stop().await;
}

#[tokio::test]
async fn unreachable_listener_makes_relay_not_ready() {
    let watched = open(ReloadableOptions::default()).await;
    let relay = watched.server.relay.clone();
    let gone = bind().await.local_addr().expect("bound");
    assert!(!CanaryRunner::new(relay.clone(), way(gone)).run_once().await);
    let answer = ask(watched.operators, "/health/ready", "").await;
    assert_eq!(answer.status(), "503");
    assert!(
        answer.text().contains("connecting to the listener failed"),
        "{}",
        answer.text()
    );
    assert!(
        CanaryRunner::new(relay, way(watched.server.address))
            .run_once()
            .await
    );
    assert_eq!(
        ask(watched.operators, "/health/ready", "").await.status(),
        "200"
    );
    watched.server.stop().await;
}

#[tokio::test]
async fn low_disk_space_makes_relay_not_ready() {
    let store = graceful_store::Options {
        free_bytes_min: u64::MAX,
        ..Default::default()
    };
    let watched = open_with(ReloadableOptions::default(), store).await;
    assert!(
        !CanaryRunner::new(watched.server.relay.clone(), way(watched.server.address))
            .run_once()
            .await
    );
    let trouble = watched
        .server
        .relay
        .canary()
        .last_result()
        .error
        .expect("trouble");
    assert!(trouble.contains("creating an account failed"), "{trouble}");
    let answer = ask(watched.server.address, "/health/ready", "").await;
    assert_eq!(answer.status(), "503");
    assert!(
        answer.text().contains("disk is nearly full"),
        "{}",
        answer.text()
    );
    let metrics = read(&ask(watched.operators, "/metrics", "").await.text());
    assert_eq!(
        (
            metrics["graceful_relay_ready"],
            metrics["graceful_relay_canary_runs"]
        ),
        (0.0, 1.0)
    );
    watched.server.stop().await;
}
