//! A device of the canary, which implements just enough of the protocol.

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::CanaryTarget;
use graceful_protocol::challenge::Challenge;
use graceful_protocol::frame::{DeviceFrame, RelayFrame, device_bytes, from_relay};
use graceful_protocol::wire::membership_entry::Change;
use graceful_protocol::wire::{self, AddDevice, Genesis, MembershipEntry};
use graceful_protocol::{AccountId, DeviceKey, EntryHash, SOCKET_PATH, StoreEpoch, VERSION};
use graceful_protocol::{envelope, membership};

/// PROXY protocol, version 2: LOCAL, without an address.
const PROXY_HEADER_LOCAL: [u8; 16] = *b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// The keys of one device.
pub(super) struct Keys(SigningKey);

impl Keys {
    pub(super) fn generate() -> Self {
        Self(SigningKey::from_bytes(&random()))
    }

    fn device(&self) -> DeviceKey {
        DeviceKey::new(self.0.verifying_key().to_bytes())
    }
}

/// An account and its genesis entry.
#[derive(Clone, Copy)]
pub(super) struct Account {
    pub(super) id: AccountId,
    head: EntryHash,
}

/// A connection.
pub(super) struct Device {
    socket: WebSocketStream<Box<dyn Stream>>,
    greeting: wire::Greeting,
    host: String,
}

impl Device {
    pub(super) async fn dial(target: &CanaryTarget, host: String) -> Result<Self, String> {
        // The error of the system could contain an address.
        let tcp = TcpStream::connect(target.dial_address()).await;
        let mut tcp =
            tcp.map_err(|error| format!("connecting to the listener failed ({})", error.kind()))?;
        if target.proxy_header {
            tcp.write_all(&PROXY_HEADER_LOCAL)
                .await
                .map_err(|_| "the listener closed the connection")?;
        }
        let stream: Box<dyn Stream> = match &target.tls {
            None => Box::new(tcp),
            Some(tls) => Box::new(
                tls.connect_to_self(&host, tcp)
                    .await
                    .map_err(|error| format!("the TLS handshake failed: {error}"))?,
            ),
        };
        let url = format!("ws://localhost{SOCKET_PATH}");
        let shaken = client_async(url, stream).await;
        let (socket, _) = shaken.map_err(|_| "the WebSocket handshake failed")?;
        let mut device = Self {
            socket,
            greeting: wire::Greeting::default(),
            host,
        };
        device.greeting = device
            .wait("no greeting", |frame| match frame {
                RelayFrame::Greeting(greeting) => Some(greeting),
                _ => None,
            })
            .await?;
        Ok(device)
    }

    pub(super) async fn create_account(
        &mut self,
        keys: &Keys,
        invite: String,
    ) -> Result<Account, String> {
        let change = Change::Genesis(Genesis {
            agreement_key: random::<32>().to_vec().into(),
            salt: random::<32>().to_vec().into(),
            ..Genesis::default()
        });
        let author = keys.device().to_wire();
        let entry = MembershipEntry {
            index: 0,
            previous: Bytes::new(),
            author,
            change: Some(change),
        };
        let entry = membership::sign(&entry, &keys.0);
        let account = Account {
            id: membership::account_id(&entry),
            head: membership::hash(&entry),
        };
        let authenticate = Some(self.proof(keys, account.id)?);
        self.send(DeviceFrame::CreateAccount(wire::CreateAccount {
            authenticate,
            entry: Some(entry),
            invite,
        }))
        .await?;
        self.welcome("creating an account failed").await?;
        Ok(account)
    }

    /// Adds another device to the account.
    pub(super) async fn add(
        &mut self,
        keys: &Keys,
        account: Account,
        other: &Keys,
    ) -> Result<(), String> {
        let agreement_key = random::<32>().to_vec().into();
        let change = Change::Add(AddDevice {
            device: other.device().to_wire(),
            agreement_key,
        });
        let previous = Bytes::copy_from_slice(account.head.as_bytes());
        let author = keys.device().to_wire();
        let entry = MembershipEntry {
            index: 1,
            previous,
            author,
            change: Some(change),
        };
        let entries = vec![membership::sign(&entry, &keys.0)];
        self.send(DeviceFrame::AppendMembership(wire::AppendMembership {
            first: 1,
            entries,
        }))
        .await?;
        self.wait("adding a device failed", |frame| match frame {
            RelayFrame::Membership(shown) => {
                (shown.first + shown.entries.len() as u64 > 1).then_some(())
            }
            _ => None,
        })
        .await
    }

    pub(super) async fn authenticate(
        &mut self,
        keys: &Keys,
        account: AccountId,
    ) -> Result<(), String> {
        let proof = self.proof(keys, account)?;
        self.send(DeviceFrame::Authenticate(proof)).await?;
        self.welcome("authenticating a device failed").await
    }

    /// Pushes random bytes in the form of a sealed envelope.
    pub(super) async fn push(&mut self) -> Result<Bytes, String> {
        let mut sealed = random::<{ envelope::SIZE_MIN }>().to_vec();
        sealed[0] = envelope::FORM;
        let sealed = Bytes::from(sealed);
        let envelope = wire::Envelope {
            push_number: 1,
            sealed: sealed.clone(),
            recipient: Bytes::new(),
        };
        self.send(DeviceFrame::Push(wire::Push {
            envelopes: vec![envelope],
        }))
        .await?;
        self.wait("a push failed", |frame| {
            matches!(frame, RelayFrame::Stored(_)).then_some(())
        })
        .await?;
        Ok(sealed)
    }

    /// Waits for the pushed envelope and acknowledges it.
    pub(super) async fn fetch(&mut self, sealed: &Bytes) -> Result<(), String> {
        let came = self.wait("no envelope was delivered", |frame| match frame {
            RelayFrame::Deliver(deliver) => deliver.envelopes.into_iter().next(),
            _ => None,
        });
        let came = came.await?;
        if came.sealed != *sealed {
            return Err("the delivered envelope differs from the pushed one".to_owned());
        }
        self.send(DeviceFrame::Ack(wire::Ack { through: came.seq }))
            .await
    }

    pub(super) async fn delete_account(&mut self, account: AccountId) -> Result<(), String> {
        self.send(DeviceFrame::DeleteAccount(wire::DeleteAccount {
            account: account.to_wire(),
        }))
        .await?;
        self.wait("deleting the account failed", |frame| match frame {
            RelayFrame::Deleted(deleted) => deleted.account.then_some(()),
            _ => None,
        })
        .await
    }

    fn proof(&self, keys: &Keys, account: AccountId) -> Result<wire::Authenticate, String> {
        let epoch =
            StoreEpoch::try_from(&*self.greeting.epoch).map_err(|_| "the greeting has no epoch")?;
        let device = keys.device();
        let challenge = Challenge {
            nonce: &self.greeting.nonce,
            epoch,
            host: &self.host,
            account,
            device,
        };
        Ok(wire::Authenticate {
            version: VERSION,
            account: account.to_wire(),
            device: device.to_wire(),
            host: self.host.clone(),
            signature: challenge.sign(&keys.0).to_vec().into(),
            membership_count: 0,
            entries: Vec::new(),
        })
    }

    async fn welcome(&mut self, trouble: &str) -> Result<(), String> {
        self.wait(trouble, |frame| {
            matches!(frame, RelayFrame::Welcome(_)).then_some(())
        })
        .await
    }

    async fn send(&mut self, frame: DeviceFrame) -> Result<(), String> {
        let said = self.socket.send(Message::Binary(device_bytes(frame))).await;
        said.map_err(|_| "the relay closed the connection".to_owned())
    }

    /// Returns the first matching frame. A refusal or the end of the connection is an error.
    async fn wait<T>(
        &mut self,
        trouble: &str,
        pick: impl Fn(RelayFrame) -> Option<T>,
    ) -> Result<T, String> {
        while let Some(Ok(message)) = self.socket.next().await {
            let Message::Binary(bytes) = message else {
                continue;
            };
            match from_relay(bytes).map_err(|_| format!("{trouble}: invalid frame"))? {
                RelayFrame::Refusal(refusal) => {
                    return Err(format!("{trouble}: {}", refusal.code().as_str_name()));
                }
                frame => {
                    if let Some(picked) = pick(frame) {
                        return Ok(picked);
                    }
                }
            }
        }
        Err(format!("{trouble}: the relay closed the connection"))
    }
}

/// # Panics
/// If the system provides no randomness.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system gives randomness");
    bytes
}
