//! A raw device: frames as they are, nothing stored, nothing sealed. For load tests and probes that
//! run many devices cheaply.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use rustls::ClientConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::dial::{Address, AddressError, ConnectOptions, DIAL_WAIT, READ_BUFFER_BYTES, Socket};
use graceful_protocol::challenge::Challenge;
use graceful_protocol::frame::{DeviceFrame, RelayFrame, device_bytes, from_relay};
use graceful_protocol::membership::{account_id, hash, sign};
use graceful_protocol::wire::membership_entry::Change;
use graceful_protocol::wire::{
    AddDevice, AppendMembership, Authenticate, CreateAccount, DeleteAccount, Genesis, Greeting,
    MembershipEntry, SignedEntry, Welcome,
};
use graceful_protocol::{AccountId, Code, DeviceKey, Refusal, StoreEpoch, VERSION};

/// Longest wait for an answer of the relay.
const ANSWER_WAIT: Duration = Duration::from_secs(60);

/// Why a connection failed or ended.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RawError {
    /// The relay answered the WebSocket handshake with an HTTP status (RFC 9110, section 15).
    #[error("relay answered the handshake with HTTP status {status}")]
    HttpStatus {
        /// The status code.
        status: u16,
    },
    /// The relay refused.
    #[error("relay refused: {0}")]
    Refused(Refusal),
    /// The relay is unreachable, or the connection broke.
    #[error("{0}")]
    Broken(String),
}

/// A relay to dial; its address and certificates are read once.
pub struct Connector {
    address: Address,
    config: Option<Arc<ClientConfig>>,
}

/// One device of an account and its signing key.
#[derive(Clone)]
pub struct RawClient {
    signing: SigningKey,
    account: AccountId,
}

/// An account whose devices are all in this process.
pub struct RawAccount {
    genesis: SignedEntry,
    newest: SignedEntry,
    /// The creator first.
    devices: Vec<RawClient>,
}

/// A connection to a relay.
pub struct RawConnection {
    /// The sending half.
    pub sender: Sender,
    /// The receiving half.
    pub receiver: Receiver,
    /// The relay's greeting.
    pub greeting: Greeting,
    host: String,
}

/// The sending half of a connection.
pub struct Sender(SplitSink<Socket, Message>);

/// The receiving half of a connection.
pub struct Receiver(SplitStream<Socket>);

impl Connector {
    /// Parses `wss://HOST`, `wss://HOST#KEY` or `ws://HOST`.
    ///
    /// # Errors
    /// [`AddressError`] if the address is invalid or this system has no trusted certificates.
    pub fn new(url: &str, options: &ConnectOptions) -> Result<Self, AddressError> {
        let address = Address::parse(url, options)?;
        let config = address.tls_config();
        let config = config.map_err(|_| AddressError {
            url: url.to_owned(),
            what: "this system has no trusted certificates; install ca-certificates or set \
                 SSL_CERT_FILE",
        })?;
        Ok(Self { address, config })
    }

    /// Dials and waits for the greeting.
    ///
    /// # Errors
    /// [`RawError`]
    pub async fn dial(&self) -> Result<RawConnection, RawError> {
        let dialled = tokio::time::timeout(DIAL_WAIT, self.socket()).await;
        let socket =
            dialled.map_err(|_| RawError::Broken("relay does not answer".to_owned()))??;
        let (sender, receiver) = socket.split();
        let (sender, mut receiver) = (Sender(sender), Receiver(receiver));
        match receiver.answer().await? {
            RelayFrame::Greeting(greeting) => Ok(RawConnection {
                sender,
                receiver,
                greeting,
                host: self.address.host.clone(),
            }),
            _ => Err(RawError::Broken(
                "not a relay: unexpected first frame".to_owned(),
            )),
        }
    }

    async fn socket(&self) -> Result<Socket, RawError> {
        let (stream, _) = self
            .address
            .stream(self.config.clone())
            .await
            .map_err(RawError::Broken)?;
        self.address
            .handshake(stream, READ_BUFFER_BYTES)
            .await
            .map_err(|error| match error {
                Error::Http(response) => RawError::HttpStatus {
                    status: response.status().as_u16(),
                },
                error => RawError::Broken(format!("WebSocket handshake failed: {error}")),
            })
    }
}

impl RawAccount {
    /// Creates an account with one device. It has no recovery key and no secrets.
    pub fn generate() -> Self {
        let signing = SigningKey::from_bytes(&random());
        let salt: [u8; 32] = random();
        let agreement_key: [u8; 32] = random();
        let found = Genesis {
            agreement_key: Bytes::copy_from_slice(&agreement_key),
            salt: Bytes::copy_from_slice(&salt),
            ..Genesis::default()
        };
        let entry = MembershipEntry {
            author: device_key(&signing).to_wire(),
            change: Some(Change::Genesis(found)),
            ..MembershipEntry::default()
        };
        let genesis = sign(&entry, &signing);
        let creator = RawClient {
            signing,
            account: account_id(&genesis),
        };
        Self {
            newest: genesis.clone(),
            genesis,
            devices: vec![creator],
        }
    }

    /// Returns its devices, the creator first.
    pub fn devices(&self) -> &[RawClient] {
        &self.devices
    }

    /// Returns the frame that creates the account.
    fn create_account(&self, invite: &str, authenticate: Authenticate) -> CreateAccount {
        CreateAccount {
            authenticate: Some(authenticate),
            entry: Some(self.genesis.clone()),
            invite: invite.to_owned(),
        }
    }

    /// Adds a device. The creator sends the returned frame.
    pub fn add(&mut self) -> DeviceFrame {
        let signing = SigningKey::from_bytes(&random());
        let agreement_key: [u8; 32] = random();
        let creator = &self.devices[0];
        let index = self.devices.len() as u64;
        let add = AddDevice {
            device: device_key(&signing).to_wire(),
            agreement_key: Bytes::copy_from_slice(&agreement_key),
        };
        let entry = MembershipEntry {
            index,
            previous: Bytes::copy_from_slice(hash(&self.newest).as_bytes()),
            author: device_key(&creator.signing).to_wire(),
            change: Some(Change::Add(add)),
        };
        self.newest = sign(&entry, &creator.signing);
        let append = AppendMembership {
            first: index,
            entries: vec![self.newest.clone()],
        };
        self.devices.push(RawClient {
            signing,
            account: creator.account,
        });
        DeviceFrame::AppendMembership(append)
    }
}

impl RawConnection {
    /// Creates an account at the relay.
    ///
    /// # Errors
    /// [`RawError`]; the account may exist if the connection broke.
    pub async fn create_account(
        &mut self,
        account: &RawAccount,
        invite: &str,
    ) -> Result<Welcome, RawError> {
        let authenticate = self.proof(&account.devices[0])?;
        self.open(DeviceFrame::CreateAccount(
            account.create_account(invite, authenticate),
        ))
        .await
    }

    /// Authenticates a device.
    ///
    /// # Errors
    /// [`RawError`]
    pub async fn authenticate(&mut self, device: &RawClient) -> Result<Welcome, RawError> {
        let authenticate = self.proof(device)?;
        self.open(DeviceFrame::Authenticate(authenticate)).await
    }

    /// Sends the frame of [`RawAccount::add`] and waits until the log has this many entries.
    ///
    /// # Errors
    /// [`RawError`]
    pub async fn append_membership(
        &mut self,
        added: DeviceFrame,
        entries: u64,
    ) -> Result<(), RawError> {
        self.sender.send(device_bytes(added)).await?;
        loop {
            if let RelayFrame::Membership(shown) = self.receiver.answer().await?
                && shown.first + shown.entries.len() as u64 >= entries
            {
                return Ok(());
            }
        }
    }

    /// Deletes the account and waits for completion. Returns the number of deleted envelopes.
    ///
    /// # Errors
    /// [`RawError`]
    pub async fn delete_account(&mut self, device: &RawClient) -> Result<u64, RawError> {
        let close = DeleteAccount {
            account: device.account.to_wire(),
        };
        self.sender
            .send(device_bytes(DeviceFrame::DeleteAccount(close)))
            .await?;
        loop {
            if let RelayFrame::Deleted(deleted) = self.receiver.answer().await?
                && deleted.account
            {
                return Ok(deleted.envelopes);
            }
        }
    }

    async fn open(&mut self, frame: DeviceFrame) -> Result<Welcome, RawError> {
        self.sender.send(device_bytes(frame)).await?;
        loop {
            if let RelayFrame::Welcome(welcome) = self.receiver.answer().await? {
                return Ok(welcome);
            }
        }
    }

    fn proof(&self, device: &RawClient) -> Result<Authenticate, RawError> {
        let epoch = StoreEpoch::try_from(&*self.greeting.epoch);
        let challenge = Challenge {
            nonce: &self.greeting.nonce,
            epoch: epoch.map_err(|_| RawError::Broken("malformed greeting".to_owned()))?,
            host: &self.host,
            account: device.account,
            device: device_key(&device.signing),
        };
        Ok(Authenticate {
            version: VERSION,
            account: device.account.to_wire(),
            device: challenge.device.to_wire(),
            host: self.host.clone(),
            signature: Bytes::copy_from_slice(&challenge.sign(&device.signing)),
            ..Authenticate::default()
        })
    }
}

impl Sender {
    /// Sends one frame made by [`device_bytes`].
    ///
    /// # Errors
    /// [`RawError::Broken`]
    pub async fn send(&mut self, frame: Bytes) -> Result<(), RawError> {
        let sent = self.0.send(Message::Binary(frame)).await;
        sent.map_err(|error| RawError::Broken(format!("connection failed: {error}")))
    }
}

impl Receiver {
    /// Returns the next frame of any kind. Cancel-safe.
    ///
    /// # Errors
    /// [`RawError::Broken`] when the connection ended.
    pub async fn next(&mut self) -> Result<RelayFrame, RawError> {
        let broken = |text: String| Err(RawError::Broken(text));
        loop {
            return match self.0.next().await {
                Some(Ok(Message::Binary(bytes))) => {
                    from_relay(bytes).map_err(|error| RawError::Broken(error.to_string()))
                }
                Some(Ok(Message::Close(_))) | None => {
                    broken("relay closed the connection".to_owned())
                }
                Some(Ok(_)) => continue,
                Some(Err(error)) => broken(format!("connection failed: {error}")),
            };
        }
    }

    /// Returns the next frame within the answer timeout. A refusal is an error.
    async fn answer(&mut self) -> Result<RelayFrame, RawError> {
        let next = tokio::time::timeout(ANSWER_WAIT, self.next()).await;
        match next.map_err(|_| RawError::Broken("relay does not answer".to_owned()))?? {
            RelayFrame::Refusal(refusal) => Err(RawError::Refused(refusal.into())),
            frame => Ok(frame),
        }
    }
}

impl RawError {
    /// Returns whether the relay does not know the account or device.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Refused(refusal) if matches!(refusal.code, Code::NotAMember | Code::AccountDeleted))
    }
}

/// Omits the keys.
impl fmt::Debug for RawClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawClient").finish_non_exhaustive()
    }
}

impl fmt::Debug for RawAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawAccount")
            .field("devices", &self.devices.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl fmt::Debug for RawConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawConnection").finish_non_exhaustive()
    }
}

fn device_key(signing: &SigningKey) -> DeviceKey {
    DeviceKey::new(signing.verifying_key().to_bytes())
}

fn random<const LENGTH: usize>() -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes).expect("the system has a random number generator");
    bytes
}
