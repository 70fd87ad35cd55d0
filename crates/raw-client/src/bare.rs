//! A device without the engine: frames as they are, nothing kept, nothing sealed. For who plays many
//! devices at once and wants each to cost little, as `graceful-relay bench` does.

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
    AddDevice, Append, Authenticate, CloseAccount, Found, FoundAccount, Greeting, MembershipEntry,
    SignedEntry, Welcome,
};
use graceful_protocol::{AccountId, Code, DeviceKey, Refusal, StoreEpoch, VERSION};

/// A relay answers a question within this, or it is taken for dead.
const ANSWER_WAIT: Duration = Duration::from_secs(60);

/// Why a conversation did not come about, or ended.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Trouble {
    /// The relay answered the WebSocket handshake with an HTTP status of its own (RFC 9110, section 15).
    #[error("the relay answered the connection with HTTP status {status}")]
    TurnedAway {
        /// Which.
        status: u16,
    },
    /// The relay said no.
    #[error("the relay refused: {0}")]
    Refused(Refusal),
    /// Nobody is there, or the line broke.
    #[error("{0}")]
    Broken(String),
}

/// A relay to dial, its address and certificates read once.
pub struct Dialler {
    address: Address,
    config: Option<Arc<ClientConfig>>,
}

/// One device of an account, with the key to speak for it.
#[derive(Clone)]
pub struct BareDevice {
    signing: SigningKey,
    account: AccountId,
}

/// An account whose devices are all here.
pub struct BareAccount {
    founding: SignedEntry,
    newest: SignedEntry,
    /// The founder first.
    devices: Vec<BareDevice>,
}

/// A conversation with a relay.
pub struct Conversation {
    /// What goes out.
    pub sender: Sender,
    /// What comes in.
    pub receiver: Receiver,
    /// What the relay said first.
    pub greeting: Greeting,
    host: String,
}

/// One half of a conversation.
pub struct Sender(SplitSink<Socket, Message>);

/// The other half.
pub struct Receiver(SplitStream<Socket>);

impl Dialler {
    /// Reads an address, as `wss://HOST`, `wss://HOST#KEY` or `ws://HOST`.
    ///
    /// # Errors
    /// [`AddressError`] where it is none, and where this system has no certificates to go by.
    pub fn new(url: &str, options: &ConnectOptions) -> Result<Self, AddressError> {
        let address = Address::parse(url, options)?;
        let config = address.tls_config();
        let config = config.map_err(|_| AddressError {
            url: url.to_owned(),
            what: "this system has no list of trusted certificates; install ca-certificates or set SSL_CERT_FILE",
        })?;
        Ok(Self { address, config })
    }

    /// Dials, and waits for the greeting.
    ///
    /// # Errors
    /// [`Trouble`]
    pub async fn dial(&self) -> Result<Conversation, Trouble> {
        let dialled = tokio::time::timeout(DIAL_WAIT, self.socket()).await;
        let socket =
            dialled.map_err(|_| Trouble::Broken("the relay does not answer".to_owned()))??;
        let (sender, receiver) = socket.split();
        let (sender, mut receiver) = (Sender(sender), Receiver(receiver));
        match receiver.answer().await? {
            RelayFrame::Greeting(greeting) => Ok(Conversation {
                sender,
                receiver,
                greeting,
                host: self.address.host.clone(),
            }),
            _ => Err(Trouble::Broken(
                "the relay did not greet; this is no relay".to_owned(),
            )),
        }
    }

    async fn socket(&self) -> Result<Socket, Trouble> {
        let (stream, _) = self
            .address
            .stream(self.config.clone())
            .await
            .map_err(Trouble::Broken)?;
        self.address
            .handshake(stream, READ_BUFFER_BYTES)
            .await
            .map_err(|error| match error {
                Error::Http(response) => Trouble::TurnedAway {
                    status: response.status().as_u16(),
                },
                error => Trouble::Broken(format!("no relay answers there: {error}")),
            })
    }
}

impl BareAccount {
    /// A new one with one device, which no relay knows yet. It has no recovery key and no secrets.
    pub fn new() -> Self {
        let signing = SigningKey::from_bytes(&random());
        let salt: [u8; 32] = random();
        let agreement_key: [u8; 32] = random();
        let found = FoundAccount {
            agreement_key: Bytes::copy_from_slice(&agreement_key),
            salt: Bytes::copy_from_slice(&salt),
            ..FoundAccount::default()
        };
        let entry = MembershipEntry {
            author: device_key(&signing).to_wire(),
            change: Some(Change::Found(found)),
            ..MembershipEntry::default()
        };
        let founding = sign(&entry, &signing);
        let founder = BareDevice {
            signing,
            account: account_id(&founding),
        };
        Self {
            newest: founding.clone(),
            founding,
            devices: vec![founder],
        }
    }

    /// Its devices, the founder first.
    pub fn devices(&self) -> &[BareDevice] {
        &self.devices
    }

    /// What founds it, on a connection of the founder.
    fn founding(&self, invite: &str, authenticate: Authenticate) -> Found {
        Found {
            authenticate: Some(authenticate),
            entry: Some(self.founding.clone()),
            invite: invite.to_owned(),
        }
    }

    /// Adds a device. The frame goes out on a connection of the founder.
    pub fn add(&mut self) -> DeviceFrame {
        let signing = SigningKey::from_bytes(&random());
        let agreement_key: [u8; 32] = random();
        let founder = &self.devices[0];
        let index = self.devices.len() as u64;
        let add = AddDevice {
            device: device_key(&signing).to_wire(),
            agreement_key: Bytes::copy_from_slice(&agreement_key),
        };
        let entry = MembershipEntry {
            index,
            previous: Bytes::copy_from_slice(hash(&self.newest).as_bytes()),
            author: device_key(&founder.signing).to_wire(),
            change: Some(Change::Add(add)),
        };
        self.newest = sign(&entry, &founder.signing);
        let append = Append {
            first: index,
            entries: vec![self.newest.clone()],
        };
        self.devices.push(BareDevice {
            signing,
            account: founder.account,
        });
        DeviceFrame::Append(append)
    }
}

impl Conversation {
    /// Founds this account.
    ///
    /// # Errors
    /// [`Trouble`]; the account may be founded all the same where the line broke.
    pub async fn found(&mut self, account: &BareAccount, invite: &str) -> Result<Welcome, Trouble> {
        let authenticate = self.proof(&account.devices[0])?;
        self.open(DeviceFrame::Found(account.founding(invite, authenticate)))
            .await
    }

    /// Says which device this is, and proves it.
    ///
    /// # Errors
    /// [`Trouble`]
    pub async fn authenticate(&mut self, device: &BareDevice) -> Result<Welcome, Trouble> {
        let authenticate = self.proof(device)?;
        self.open(DeviceFrame::Authenticate(authenticate)).await
    }

    /// Sends what [`BareAccount::add`] made, and waits until the relay has so many entries.
    ///
    /// # Errors
    /// [`Trouble`]
    pub async fn append(&mut self, added: DeviceFrame, entries: u64) -> Result<(), Trouble> {
        self.sender.send(device_bytes(added)).await?;
        loop {
            if let RelayFrame::Membership(shown) = self.receiver.answer().await?
                && shown.first + shown.entries.len() as u64 >= entries
            {
                return Ok(());
            }
        }
    }

    /// Closes the account, and waits until nothing of it remains. Returns how many envelopes went with it.
    ///
    /// # Errors
    /// [`Trouble`]
    pub async fn close_account(&mut self, device: &BareDevice) -> Result<u64, Trouble> {
        let close = CloseAccount {
            account: device.account.to_wire(),
        };
        self.sender
            .send(device_bytes(DeviceFrame::CloseAccount(close)))
            .await?;
        loop {
            if let RelayFrame::Deleted(deleted) = self.receiver.answer().await?
                && deleted.account
            {
                return Ok(deleted.envelopes);
            }
        }
    }

    async fn open(&mut self, frame: DeviceFrame) -> Result<Welcome, Trouble> {
        self.sender.send(device_bytes(frame)).await?;
        loop {
            if let RelayFrame::Welcome(welcome) = self.receiver.answer().await? {
                return Ok(welcome);
            }
        }
    }

    fn proof(&self, device: &BareDevice) -> Result<Authenticate, Trouble> {
        let epoch = StoreEpoch::try_from(&*self.greeting.epoch);
        let challenge = Challenge {
            nonce: &self.greeting.nonce,
            epoch: epoch
                .map_err(|_| Trouble::Broken("the relay's greeting is malformed".to_owned()))?,
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
    /// One frame, as [`device_bytes`] makes it.
    ///
    /// # Errors
    /// [`Trouble::Broken`]
    pub async fn send(&mut self, frame: Bytes) -> Result<(), Trouble> {
        let sent = self.0.send(Message::Binary(frame)).await;
        sent.map_err(|error| Trouble::Broken(format!("the connection broke: {error}")))
    }
}

impl Receiver {
    /// The next frame, whatever it is. Safe to cancel.
    ///
    /// # Errors
    /// [`Trouble::Broken`] when the connection ended.
    pub async fn next(&mut self) -> Result<RelayFrame, Trouble> {
        let broken = |text: String| Err(Trouble::Broken(text));
        loop {
            return match self.0.next().await {
                Some(Ok(Message::Binary(bytes))) => {
                    from_relay(bytes).map_err(|error| Trouble::Broken(error.to_string()))
                }
                Some(Ok(Message::Close(_))) | None => {
                    broken("the relay closed the connection".to_owned())
                }
                Some(Ok(_)) => continue,
                Some(Err(error)) => broken(format!("the connection broke: {error}")),
            };
        }
    }

    /// The next frame that is no refusal, within the time that a relay may take.
    async fn answer(&mut self) -> Result<RelayFrame, Trouble> {
        let next = tokio::time::timeout(ANSWER_WAIT, self.next()).await;
        match next.map_err(|_| Trouble::Broken("the relay does not answer".to_owned()))?? {
            RelayFrame::Refusal(refusal) => Err(Trouble::Refused(refusal.into())),
            frame => Ok(frame),
        }
    }
}

impl Trouble {
    /// Whether this says that the relay has no such account or device.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Refused(refusal) if matches!(refusal.code, Code::NotAMember | Code::AccountClosed))
    }
}

/// Without the keys.
impl fmt::Debug for BareDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BareDevice").finish_non_exhaustive()
    }
}

impl fmt::Debug for BareAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BareAccount")
            .field("devices", &self.devices.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Dialler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialler").finish_non_exhaustive()
    }
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation").finish_non_exhaustive()
    }
}

fn device_key(signing: &SigningKey) -> DeviceKey {
    DeviceKey::new(signing.verifying_key().to_bytes())
}

fn random<const LENGTH: usize>() -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes).expect("the system's random generator answers");
    bytes
}
