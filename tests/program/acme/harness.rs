//! A relay in this process that orders its certificate.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use graceful_protocol::{Limits, SOCKET_PATH};
use graceful_server::http::{self, Listener, Options};
use graceful_server::net::tls::{AcmeSetup, Challenge, Tls, TlsSetup, TlsStatus};
use graceful_server::relay::{Registration, Relay, RelayOptions};
use graceful_store::{self, Store};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_util::sync::CancellationToken;

use crate::tls::authority::Authority;
use graceful_testing::external::{free_port, is_installed};

/// Longer than anything takes.
const LONG: Duration = Duration::from_secs(90);

/// What outlives a relay: its folder, and whom it orders from.
pub struct Acme {
    pub folder: tempfile::TempDir,
    pub authority: Authority,
    pub name: &'static str,
    pub port: u16,
    pub directory: String,
    /// Every wait is counted in these.
    pub minute: Duration,
}

impl Acme {
    /// `None` where there is no pebble, which is said.
    pub fn new(name: &'static str) -> Option<Self> {
        is_installed("pebble", "pebble").then(|| Self::without_pebble(name))
    }

    pub fn without_pebble(name: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new();
        std::fs::write(folder.path().join("root.pem"), authority.root_pem()).expect("written");
        let port = free_port();
        let directory = format!("https://localhost:{port}/dir");
        Self {
            folder,
            authority,
            name,
            port,
            directory,
            minute: Duration::from_millis(200),
        }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }
}

pub struct TestRelay {
    pub address: SocketAddr,
    pub plain: SocketAddr,
    pub tls: Tls,
    name: &'static str,
    running: JoinHandle<Result<(), http::Stopped>>,
    _data: tempfile::TempDir,
}

impl TestRelay {
    /// `own_check`: it looks for itself at its own port first.
    pub async fn open(acme: &Acme, challenge: Challenge, own_check: bool) -> Self {
        Self::start(acme, challenge, |port| own_check.then_some(port)).await
    }

    /// It looks for itself at this port.
    pub async fn open_at(acme: &Acme, challenge: Challenge, own_port: Option<u16>) -> Self {
        Self::start(acme, challenge, |_| own_port).await
    }

    async fn start(
        acme: &Acme,
        challenge: Challenge,
        own_port: impl Fn(u16) -> Option<u16>,
    ) -> Self {
        let bind = || TcpListener::bind("127.0.0.1:0");
        let (tcp, plain) = (bind().await.expect("a port"), bind().await.expect("a port"));
        let (address, plain_address) = (
            tcp.local_addr().expect("bound"),
            plain.local_addr().expect("bound"),
        );
        let asked = if challenge == Challenge::Http {
            plain_address
        } else {
            address
        };
        let setup = AcmeSetup {
            names: vec![acme.name.to_owned()],
            directory: acme.directory.clone(),
            contact: Some("operator@relay.example".to_owned()),
            authority: Some(acme.root()),
            challenge,
            own_port: own_port(asked.port()),
            minute: acme.minute,
        };
        let names = vec![acme.name.to_owned()];
        let tls = Tls::prepare(TlsSetup::Acme(setup), names, acme.folder.path()).expect("prepared");
        let data = tempfile::tempdir().expect("a folder");
        let store = graceful_store::Options {
            limits: Limits::default(),
            registration: Registration::Open,
            cache_bytes: 8 << 20,
            ..graceful_store::Options::default()
        };
        // Connections in these tests stay unauthenticated.
        let relay_options = RelayOptions {
            auth_timeout: LONG,
            ..RelayOptions::default()
        };
        let relay = Relay::start(
            Store::open(data.path(), store).expect("a store"),
            relay_options,
        );
        let options = Options {
            connections_max: 8,
            frame_bytes_max: 64 * 1024,
            frames_bytes: 64 << 20,
            handshake_timeout: LONG,
            head_timeout: LONG,
            body_timeout: LONG,
            write_timeout: LONG,
            close_timeout: LONG,
            stop_timeout: LONG,
            admission: http::Admission::default(),
        };
        let listener = Listener::with_tls(tcp, tls.clone(), Some(plain));
        let running = tokio::spawn(http::run(
            listener,
            relay,
            options,
            CancellationToken::new(),
        ));
        Self {
            address,
            plain: plain_address,
            tls,
            name: acme.name,
            running,
            _data: data,
        }
    }

    /// Waits until its status is such.
    pub async fn until(&self, is_such: impl Fn(&TlsStatus) -> bool) {
        let such = async {
            while !is_such(&self.tls.status()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(LONG, such).await;
        assert!(waited.is_ok(), "{:?}", self.tls.status());
    }

    pub async fn has_certificate(&self) {
        self.until(|status| status.certificate_expires_s.is_some())
            .await;
    }

    pub async fn shake(&self, client: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.address)
            .await
            .expect("the server is open");
        let name = ServerName::try_from(self.name).expect("a name");
        TlsConnector::from(Arc::new(client))
            .connect(name, tcp)
            .await
    }

    pub async fn ask(&self, client: ClientConfig, request: &str) -> String {
        let mut stream = self.shake(client).await.expect("a handshake");
        stream.write_all(request.as_bytes()).await.expect("open");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    }

    pub async fn websocket(&self, client: ClientConfig) -> WebSocketStream<TlsStream<TcpStream>> {
        let url = format!("wss://{}{SOCKET_PATH}", self.name);
        let stream = self.shake(client).await.expect("a handshake");
        tokio_tungstenite::client_async(url, stream)
            .await
            .expect("upgraded")
            .0
    }
}

/// As abruptly as a killed process.
impl Drop for TestRelay {
    fn drop(&mut self) {
        self.running.abort();
    }
}
