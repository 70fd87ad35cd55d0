//! The admin socket in a data directory.
#![cfg(unix)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use graceful_server::admin::{AdminError, AdminRequest, AdminResponse, Socket, request, serve};
use graceful_server::relay::{Relay, RelayOptions};
use graceful_store::{self, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Its name in the data folder.
const SOCKET: &str = "admin.sock";

async fn start(folder: &Path) -> (CancellationToken, JoinHandle<()>) {
    let store = Store::open(folder, graceful_store::Options::default()).expect("a store");
    let options = RelayOptions::default();
    let relay = Relay::start(store, options);
    let socket = Socket::bind(folder).await.expect("a socket");
    let cancel = CancellationToken::new();
    (cancel.clone(), tokio::spawn(serve(socket, relay, cancel)))
}

#[tokio::test]
async fn admin_socket_serves_invitations_and_status() {
    let folder = tempfile::tempdir().expect("a folder");
    let (cancel, serving) = start(folder.path()).await;
    let invite = request(folder.path(), &AdminRequest::Invite { lifetime_s: 3_600 })
        .await
        .expect("an answer");
    assert!(matches!(invite, AdminResponse::Invite(text) if !text.is_empty()));
    let status = request(folder.path(), &AdminRequest::Status {})
        .await
        .expect("an answer");
    assert!(matches!(status, AdminResponse::Status(_)));
    cancel.cancel();
    serving.await.expect("no panic");
    assert!(!folder.path().join(SOCKET).exists());
}

#[tokio::test]
async fn drain_request_is_answered_before_drain() {
    let folder = tempfile::tempdir().expect("a folder");
    let (cancel, serving) = start(folder.path()).await;
    let answer = request(folder.path(), &AdminRequest::Drain {})
        .await
        .expect("an answer");
    assert_eq!(answer, AdminResponse::Draining);
    let begun = tokio::time::timeout(std::time::Duration::from_secs(30), cancel.cancelled()).await;
    begun.expect("the drain begins");
    serving.await.expect("no panic");
}

#[tokio::test]
async fn admin_socket_serves_owner_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let _socket = Socket::bind(folder.path()).await.expect("a socket");
    let mode = std::fs::metadata(folder.path().join(SOCKET))
        .expect("a socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn admin_request_undecodable_returns_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_cancel, _serving) = start(folder.path()).await;
    let mut stream = UnixStream::connect(folder.path().join(SOCKET))
        .await
        .expect("a relay");
    stream
        .write_all(b"{\"question\":\"weather\"}\n")
        .await
        .expect("open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(
        answer.starts_with("{\"error\":\"unknown request"),
        "{answer}"
    );
}

#[tokio::test]
async fn admin_socket_left_by_crash_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    // The standard library's listener leaves its file behind, as a crash does.
    drop(std::os::unix::net::UnixListener::bind(folder.path().join(SOCKET)).expect("a socket"));
    let missing = request(folder.path(), &AdminRequest::Status {}).await;
    assert!(matches!(missing, Err(AdminError::NotRunning(_))));
    let _live = Socket::bind(folder.path())
        .await
        .expect("the stale one is replaced");
    let second = Socket::bind(folder.path())
        .await
        .expect_err("the live one stays");
    assert!(matches!(second, AdminError::AlreadyRunning(_)));
}

#[tokio::test]
async fn admin_socket_path_too_long_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let deep = folder.path().join("d".repeat(120));
    std::fs::create_dir(&deep).expect("a folder");
    let error = Socket::bind(&deep).await.expect_err("too long");
    assert!(
        error
            .to_string()
            .ends_with("use a data directory with a shorter path"),
        "{error}"
    );
}
