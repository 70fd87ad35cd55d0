//! A scripted device: it sends exactly the frames of a test.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use graceful_protocol::frame::{DeviceFrame, RelayFrame, device_bytes, from_relay};
use graceful_protocol::recovery::RecoveryChallenge;
use graceful_protocol::wire::{
    self, Authenticate, CreateAccount, Envelope, Greeting, Refusal, SignedEntry,
};
use graceful_protocol::{AccountId, Code, StoreEpoch, VERSION};
use tokio_tungstenite::tungstenite::Message;

use crate::fixtures;
use crate::server::{Client, LONG, TestServer};

/// A connection of device `number` to the account created by device `creator`.
pub struct Device {
    client: Client,
    pub greeting: Greeting,
    pub number: u8,
    pub account: AccountId,
}

impl Device {
    /// Connects and reads the greeting.
    pub async fn dial(server: &TestServer, number: u8, creator: u8) -> Self {
        let mut client = server.client().await.expect("the server is open");
        let RelayFrame::Greeting(greeting) = crate::server::next_frame(&mut client).await else {
            panic!("greeted");
        };
        Self {
            client,
            greeting,
            number,
            account: fixtures::account_id(creator),
        }
    }

    /// Creates an account and reads Welcome.
    pub async fn create(server: &TestServer, number: u8) -> Self {
        let mut device = Self::dial(server, number, number).await;
        let found = device.create_account("");
        device.send(DeviceFrame::CreateAccount(found)).await;
        device.welcome().await;
        device
    }

    /// Authenticates as a member and reads Welcome.
    pub async fn connect(server: &TestServer, number: u8, creator: u8) -> (Self, wire::Welcome) {
        let mut device = Self::dial(server, number, creator).await;
        device.send(DeviceFrame::Authenticate(device.proof())).await;
        let welcome = device.welcome().await;
        (device, welcome)
    }

    pub fn create_account(&self, invite: &str) -> CreateAccount {
        CreateAccount {
            authenticate: Some(self.proof()),
            entry: Some(fixtures::genesis(self.number)),
            invite: invite.to_owned(),
        }
    }

    /// Returns a valid answer to the greeting.
    pub fn proof(&self) -> Authenticate {
        self.proof_for("127.0.0.1", &fixtures::signing_key(self.number))
    }

    pub fn proof_for(&self, host: &str, key: &ed25519_dalek::SigningKey) -> Authenticate {
        fixtures::authenticate(&self.greeting, self.account, self.number, host, key)
    }

    /// Connects and authenticates by the recovery key.
    pub async fn with_recovery_key(server: &TestServer, creator: u8) -> Self {
        let mut device = Self::dial(server, fixtures::RECOVERY, creator).await;
        device
            .send(DeviceFrame::RecoverAccount(device.recovery_proof()))
            .await;
        device
    }

    pub fn recovery_proof(&self) -> wire::RecoverAccount {
        self.recovery_proof_for(
            "127.0.0.1",
            fixtures::RECOVERY,
            &fixtures::signing_key(fixtures::RECOVERY),
        )
    }

    pub fn recovery_proof_for(
        &self,
        host: &str,
        number: u8,
        key: &ed25519_dalek::SigningKey,
    ) -> wire::RecoverAccount {
        let challenge = RecoveryChallenge {
            nonce: &self.greeting.nonce,
            epoch: StoreEpoch::try_from(&*self.greeting.epoch).expect("16 bytes"),
            host,
            key: fixtures::device_key(number),
        };
        wire::RecoverAccount {
            version: VERSION,
            recovery_key: challenge.key.to_wire(),
            host: host.to_owned(),
            signature: Bytes::copy_from_slice(&challenge.sign(key)),
        }
    }

    /// Returns every frame up to the close, with close code and reason.
    pub async fn all_until_closed(mut self) -> (Vec<RelayFrame>, u16, String) {
        let mut frames = Vec::new();
        let closed = async {
            loop {
                match self.client.next().await {
                    Some(Ok(Message::Binary(bytes))) => {
                        frames.push(from_relay(bytes).expect("a frame"))
                    }
                    Some(Ok(Message::Close(Some(close)))) => {
                        return (close.code.into(), close.reason.as_str().to_owned());
                    }
                    Some(Ok(_)) => {}
                    other => panic!("no goodbye: {other:?}"),
                }
            }
        };
        let (code, reason) = tokio::time::timeout(LONG, closed)
            .await
            .expect("it is closed");
        (frames, code, reason)
    }

    pub async fn send(&mut self, frame: DeviceFrame) {
        self.send_bytes(device_bytes(frame)).await;
    }

    pub async fn send_bytes(&mut self, bytes: Bytes) {
        self.client
            .send(Message::Binary(bytes))
            .await
            .expect("open");
    }

    /// Returns the next frame.
    pub async fn next(&mut self) -> RelayFrame {
        let next = async {
            loop {
                match self.client.next().await {
                    Some(Ok(Message::Binary(bytes))) => return from_relay(bytes).expect("a frame"),
                    ended @ (Some(Ok(Message::Close(_)) | Err(_)) | None) => {
                        panic!("the connection ended: {ended:?}")
                    }
                    Some(Ok(_)) => {}
                }
            }
        };
        tokio::time::timeout(LONG, next)
            .await
            .expect("a frame comes")
    }

    /// Returns the next frame that `pick` accepts and skips others.
    pub async fn wait<T>(&mut self, pick: impl Fn(RelayFrame) -> Option<T>) -> T {
        loop {
            if let Some(picked) = pick(self.next().await) {
                return picked;
            }
        }
    }

    pub async fn welcome(&mut self) -> wire::Welcome {
        match self.next().await {
            RelayFrame::Welcome(welcome) => welcome,
            other => panic!("not welcome: {other:?}"),
        }
    }

    pub async fn refusal(&mut self) -> Refusal {
        self.wait(|frame| match frame {
            RelayFrame::Refusal(refusal) => Some(refusal),
            _ => None,
        })
        .await
    }

    pub async fn stored(&mut self) -> wire::Stored {
        self.wait(|frame| match frame {
            RelayFrame::Stored(stored) => Some(stored),
            RelayFrame::Refusal(refusal) => panic!("refused: {refusal:?}"),
            _ => None,
        })
        .await
    }

    /// Returns the next Deliver with envelopes.
    pub async fn delivered(&mut self) -> wire::Deliver {
        self.wait(|frame| match frame {
            RelayFrame::Deliver(deliver) if !deliver.envelopes.is_empty() => Some(deliver),
            _ => None,
        })
        .await
    }

    /// Asserts a refusal with this code and the close code that follows.
    #[track_caller]
    pub fn ends(mut self, code: Code, close: u16) -> impl Future<Output = String> {
        let caller = std::panic::Location::caller();
        async move {
            let refusal = self.refusal().await;
            assert_eq!(refusal.code(), code, "{refusal:?}, {caller}");
            assert!(
                refusal.message.len() > 15,
                "says what happened: {}, {caller}",
                refusal.message
            );
            assert_eq!(
                crate::server::close_code(self.client).await,
                Some(close),
                "{caller}"
            );
            refusal.message
        }
    }

    pub async fn push(&mut self, envelopes: Vec<Envelope>) {
        self.send(DeviceFrame::Push(wire::Push { envelopes })).await;
    }

    pub async fn ack(&mut self, through: u64) {
        self.send(DeviceFrame::Ack(wire::Ack { through })).await;
    }

    pub async fn append(&mut self, first: u64, entry: SignedEntry) {
        self.send(DeviceFrame::AppendMembership(wire::AppendMembership {
            first,
            entries: vec![entry],
        }))
        .await;
    }

    /// Waits until the entry with this index is delivered.
    pub async fn shown(&mut self, index: u64) {
        self.wait(|frame| match frame {
            RelayFrame::Membership(shown) if shown.first + shown.entries.len() as u64 > index => {
                Some(())
            }
            _ => None,
        })
        .await;
    }
}
