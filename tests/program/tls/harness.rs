//! A relay with its own TLS, in this process.

use std::net::SocketAddr;
use std::sync::Arc;

use graceful_protocol::{Limits, SOCKET_PATH};
use graceful_server::http::{self, Listener, Options};
use graceful_server::net::tls::{Tls, TlsSetup};
use graceful_server::relay::{Registration, Relay, RelayOptions};
use graceful_store::{self, Store};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_util::sync::CancellationToken;

use super::authority::{Authority, Pair};

pub struct TestRelay {
    pub address: SocketAddr,
    /// The second, plain listener.
    pub plain: SocketAddr,
    /// Where operators' programs ask.
    pub operators: SocketAddr,
    pub authority: Authority,
    pub pair: Pair,
    pub tls: Tls,
    pub relay: Relay,
    shutdown: CancellationToken,
    _folder: tempfile::TempDir,
}

impl TestRelay {
    /// With a certificate for localhost, from files.
    pub async fn open(options: Options) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new();
        let pair = authority.write(folder.path(), &["localhost"]);
        let setup = TlsSetup::Files {
            certificate: pair.certificate.clone(),
            key: pair.key.clone(),
        };
        let tls = Tls::prepare(setup, Vec::new(), folder.path()).expect("a good pair");
        let store = graceful_store::Options {
            limits: Limits::default(),
            registration: Registration::Open,
            cache_bytes: 8 << 20,
            ..graceful_store::Options::default()
        };
        let data = folder.path().join("data");
        let relay = Relay::start(
            Store::open(&data, store).expect("a store"),
            RelayOptions::default(),
        );
        let bind = || TcpListener::bind("127.0.0.1:0");
        let (tcp, plain) = (bind().await.expect("a port"), bind().await.expect("a port"));
        let operators = bind().await.expect("a port");
        let operators_address = operators.local_addr().expect("an address");
        let (address, plain_address) = (
            tcp.local_addr().expect("an address"),
            plain.local_addr().expect("an address"),
        );
        let shutdown = CancellationToken::new();
        let listener = Listener::with_tls(tcp, tls.clone(), Some(plain)).with_metrics(operators);
        tokio::spawn(http::run(
            listener,
            relay.clone(),
            options,
            shutdown.clone(),
        ));
        Self {
            address,
            plain: plain_address,
            operators: operators_address,
            authority,
            pair,
            tls,
            relay,
            shutdown,
            _folder: folder,
        }
    }

    pub async fn shake(&self, client: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.address)
            .await
            .expect("the server is open");
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(client))
            .connect(name, tcp)
            .await
    }

    pub async fn connect(&self) -> TlsStream<TcpStream> {
        self.shake(self.authority.client())
            .await
            .expect("a handshake")
    }

    /// The whole answer, as it comes over the wire.
    pub async fn ask(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.expect("open");
        let mut answer = Vec::new();
        // The answer has its own length; where the body of a request was left unread, the
        // connection may end without a word.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub async fn websocket(&self) -> WebSocketStream<TlsStream<TcpStream>> {
        let url = format!("wss://localhost{SOCKET_PATH}");
        let upgraded = tokio_tungstenite::client_async(url, self.connect().await).await;
        upgraded.expect("the handshake").0
    }

    /// The first certificate that is shown now.
    pub async fn shown(&self) -> Vec<u8> {
        let stream = self.connect().await;
        let (_, connection) = stream.get_ref();
        connection.peer_certificates().expect("a chain")[0].to_vec()
    }
}

impl Drop for TestRelay {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
