//! A relay behind its real server, on its own port and data directory.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use futures_util::StreamExt;
use graceful_protocol::frame::{self, RelayFrame};
use graceful_protocol::{Code, EXCHANGE_PATH, Limits, SOCKET_PATH};
pub use graceful_server::http::Options;
use graceful_server::http::{self, Admission, Stopped};
use graceful_server::relay::{Registration, Relay, RelayOptions};
use graceful_store::{self, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

/// Upper bound of any test, so that a broken server fails it.
pub const LONG: Duration = Duration::from_secs(60);

pub type Client = WebSocketStream<TcpStream>;

/// A running server.
pub struct TestServer {
    pub address: SocketAddr,
    pub relay: Relay,
    pub folder: tempfile::TempDir,
    pub shutdown: CancellationToken,
    pub running: JoinHandle<Result<(), Stopped>>,
}

pub fn options() -> Options {
    Options {
        connections_max: 8,
        frame_bytes_max: 64 * 1024,
        frames_bytes: 64 << 20,
        handshake_timeout: LONG,
        head_timeout: LONG,
        body_timeout: LONG,
        write_timeout: LONG,
        close_timeout: LONG,
        stop_timeout: LONG,
        admission: Admission::default(),
    }
}

pub async fn open(options: Options) -> TestServer {
    let limits = Limits {
        frame_bytes_max: options.frame_bytes_max as u64,
        ..Limits::default()
    };
    open_with(options, limits, Registration::Open).await
}

pub async fn open_with(options: Options, limits: Limits, registration: Registration) -> TestServer {
    let folder = tempfile::tempdir().expect("a folder");
    let store = graceful_store::Options {
        limits,
        registration,
        cache_bytes: 8 << 20,
        ..graceful_store::Options::default()
    };
    let relay = Relay::start(
        Store::open(folder.path(), store).expect("a store"),
        RelayOptions::default(),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(http::run(
        listener,
        relay.clone(),
        options,
        shutdown.clone(),
    ));
    TestServer {
        address,
        relay,
        folder,
        shutdown,
        running,
    }
}

impl TestServer {
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address)
            .await
            .expect("the server is open")
    }

    /// Sends a request without a body and returns the response.
    pub async fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        self.send(method, path, headers, b"").await
    }

    pub async fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let mut stream = self.connect().await;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
        );
        stream
            .write_all(&[head.as_bytes(), body].concat())
            .await
            .expect("open");
        Answer::read(stream).await
    }

    pub async fn client(&self) -> Result<Client, Error> {
        let url = format!("ws://{}{SOCKET_PATH}", self.address);
        tokio_tungstenite::client_async(url, self.connect().await)
            .await
            .map(|(client, _)| client)
    }

    pub async fn greeted(&self) -> Client {
        let mut client = self.client().await.expect("the handshake");
        assert!(matches!(
            next_frame(&mut client).await,
            RelayFrame::Greeting(_)
        ));
        client
    }

    /// Stops the server and waits for its connections.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        (&mut self.running)
            .await
            .expect("no panic")
            .expect("no failure");
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.running.abort();
    }
}

/// A response.
pub struct Answer {
    pub head: String,
    pub body: Bytes,
}

impl Answer {
    pub async fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.expect("an answer");
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .expect("a head");
        let body = Bytes::copy_from_slice(&bytes[end + 4..]);
        Self {
            head: String::from_utf8_lossy(&bytes[..end]).to_lowercase(),
            body,
        }
    }

    pub fn status(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn frames(&self) -> Vec<RelayFrame> {
        let frames = frame::split(self.body.clone()).expect("frames");
        frames
            .into_iter()
            .map(|frame| frame::from_relay(frame).expect("a frame"))
            .collect()
    }

    pub fn refusal(&self) -> Code {
        match &self.frames()[..] {
            [RelayFrame::Refusal(refusal)] => refusal.code(),
            other => panic!("not one refusal: {other:?}"),
        }
    }
}

pub async fn next_frame(client: &mut Client) -> RelayFrame {
    loop {
        if let Message::Binary(bytes) = client.next().await.expect("open").expect("a message") {
            return frame::from_relay(bytes).expect("a frame");
        }
    }
}

/// Returns the code with which the relay closes the connection.
pub async fn close_code(mut client: Client) -> Option<u16> {
    while let Some(message) = client.next().await {
        if let Ok(Message::Close(frame)) = message {
            return frame.map(|frame| frame.code.into());
        }
    }
    None
}

/// Returns a nonce of the relay as a header value.
pub async fn nonce(server: &TestServer) -> String {
    match &server.ask("GET", EXCHANGE_PATH, "").await.frames()[..] {
        [RelayFrame::Greeting(greeting)] => BASE64URL_NOPAD.encode(&greeting.nonce),
        other => panic!("not one greeting: {other:?}"),
    }
}

/// Performs one exchange without a WebSocket.
pub async fn exchange(server: &TestServer, nonce: &[u8], body: &[u8]) -> Answer {
    let nonce = BASE64URL_NOPAD.encode(nonce);
    let headers = format!(
        "Graceful-Nonce: {nonce}\r\nContent-Length: {}\r\n",
        body.len()
    );
    server.send("POST", EXCHANGE_PATH, &headers, body).await
}
