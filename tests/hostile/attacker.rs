//! An attacker: any loopback address, any bytes.

use std::net::{Ipv4Addr, SocketAddr};

use futures_util::{SinkExt, StreamExt};
use graceful_protocol::frame::{DeviceFrame, RelayFrame, device_bytes, from_relay};
use graceful_protocol::membership::Membership;
use graceful_protocol::wire::{
    self, AppendMembership, Authenticate, CreateAccount, Envelope, Greeting, Push, Refusal,
};
use graceful_protocol::{AccountId, SOCKET_PATH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::harness::LONG;
use graceful_testing::fixtures;

/// An address of this machine: 127.0.`third`.`fourth`.
pub fn address(third: u8, fourth: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, third, fourth)
}

pub async fn connect(from: Ipv4Addr, relay: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(relay).await
}

/// Sends this and reads to the end. Empty: the relay said nothing, or reset the connection.
pub async fn say(from: Ipv4Addr, relay: SocketAddr, bytes: &[u8]) -> String {
    let Ok(mut stream) = connect(from, relay).await else {
        return String::new();
    };
    let _ = stream.write_all(bytes).await;
    rest(stream).await
}

/// What else comes before the end.
pub async fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(LONG, stream.read_to_end(&mut answer))
        .await
        .expect("it ends");
    String::from_utf8_lossy(&answer).into_owned()
}

pub fn get(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{headers}\r\n")
        .into_bytes()
}

pub fn asking_for_websocket(headers: &str) -> Vec<u8> {
    format!(
        "GET {SOCKET_PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
    .into_bytes()
}

pub fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

pub type Socket = WebSocketStream<TcpStream>;

pub async fn websocket(from: Ipv4Addr, relay: SocketAddr) -> Result<Socket, Error> {
    let stream = connect(from, relay).await.map_err(Error::Io)?;
    let url = format!("ws://{relay}{SOCKET_PATH}");
    tokio_tungstenite::client_async(url, stream)
        .await
        .map(|(socket, _)| socket)
}

/// Returns the code with which the relay closes the session; `None` without a close frame.
pub async fn close_code(socket: &mut Socket) -> Option<u16> {
    let read = async {
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Close(frame) = message {
                return frame.map(|frame| frame.code.into());
            }
        }
        None
    };
    tokio::time::timeout(LONG, read)
        .await
        .expect("the relay ends it")
}

/// A device that follows the protocol as far as a test wants.
pub struct Device {
    pub socket: Socket,
    pub greeting: Greeting,
    pub number: u8,
    account: AccountId,
}

impl Device {
    /// Connects device `number` of the account created by `creator`.
    pub async fn dial(
        from: Ipv4Addr,
        relay: SocketAddr,
        number: u8,
        creator: u8,
    ) -> Result<Self, Error> {
        let mut socket = websocket(from, relay).await?;
        let RelayFrame::Greeting(greeting) =
            next(&mut socket).await.ok_or(Error::ConnectionClosed)?
        else {
            panic!("greeted");
        };
        Ok(Self {
            socket,
            greeting,
            number,
            account: fixtures::account_id(creator),
        })
    }

    /// Creates an account, if the relay allows it.
    pub async fn create(from: Ipv4Addr, relay: SocketAddr, number: u8) -> Result<Self, Refusal> {
        let mut device = Self::dial(from, relay, number, number)
            .await
            .expect("accepted");
        let genesis = CreateAccount {
            authenticate: Some(device.proof()),
            entry: Some(fixtures::genesis(number)),
            invite: String::new(),
        };
        device.send(DeviceFrame::CreateAccount(genesis)).await;
        device.welcome().await.map(|_| device)
    }

    /// Comes as a member.
    pub async fn connect(
        from: Ipv4Addr,
        relay: SocketAddr,
        number: u8,
        creator: u8,
    ) -> Result<(Self, wire::Welcome), Refusal> {
        let mut device = Self::dial(from, relay, number, creator)
            .await
            .expect("accepted");
        let proof = device.proof();
        device.send(DeviceFrame::Authenticate(proof)).await;
        device.welcome().await.map(|welcome| (device, welcome))
    }

    fn proof(&self) -> Authenticate {
        let key = fixtures::signing_key(self.number);
        fixtures::authenticate(&self.greeting, self.account, self.number, "127.0.0.1", &key)
    }

    async fn welcome(&mut self) -> Result<wire::Welcome, Refusal> {
        match self.next().await {
            Some(RelayFrame::Welcome(welcome)) => Ok(welcome),
            Some(RelayFrame::Refusal(refusal)) => Err(refusal),
            other => panic!("neither welcome nor refused: {other:?}"),
        }
    }

    /// The creator lets another device in.
    pub async fn add(&mut self, number: u8) {
        let log = Membership::from_genesis(&fixtures::genesis(self.number)).expect("an entry");
        let entries = vec![fixtures::adding(&log, self.number, number)];
        self.send(DeviceFrame::AppendMembership(AppendMembership {
            first: 1,
            entries,
        }))
        .await;
        self.wait(|frame| matches!(frame, RelayFrame::Membership(_)).then_some(()))
            .await;
    }

    pub async fn send(&mut self, frame: DeviceFrame) {
        // A rejected device cannot send; the test reads what comes instead.
        let _ = self.socket.send(Message::Binary(device_bytes(frame))).await;
    }

    pub async fn push(&mut self, envelopes: Vec<Envelope>) {
        self.send(DeviceFrame::Push(Push { envelopes })).await;
    }

    pub async fn next(&mut self) -> Option<RelayFrame> {
        next(&mut self.socket).await
    }

    pub async fn wait<T>(&mut self, pick: impl Fn(RelayFrame) -> Option<T>) -> T {
        loop {
            if let Some(picked) = pick(self.next().await.expect("open")) {
                return picked;
            }
        }
    }

    /// How a push was answered; `None` where the connection ended before.
    pub async fn answer(&mut self) -> Option<Result<u64, Refusal>> {
        loop {
            match self.next().await? {
                RelayFrame::Stored(stored) => return Some(Ok(stored.push_number)),
                RelayFrame::Refusal(refusal) => return Some(Err(refusal)),
                _ => {}
            }
        }
    }
}

/// The next frame; `None` where the connection ends.
async fn next(socket: &mut Socket) -> Option<RelayFrame> {
    let read = async {
        loop {
            match socket.next().await? {
                Ok(Message::Binary(bytes)) => return Some(from_relay(bytes).expect("a frame")),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    };
    tokio::time::timeout(LONG, read)
        .await
        .expect("the relay answers, or ends it")
}
