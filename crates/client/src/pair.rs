//! Pairing: showing a link and answering requests, or joining by a link.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::connection::Connection;
use crate::error::ClientError;
use crate::handle::{Client, OpenOptions, check_ids};
use crate::profile;
use crate::task::Command;
use graceful_engine::DeviceKeys;
use graceful_engine::Identity;
use graceful_engine::OsRng;
use graceful_engine::link::PairingLink;
use graceful_engine::pairing::{Joining, open_bundle, open_request, seal_request};
use graceful_protocol::frame::{DeviceFrame, RelayFrame};
use graceful_protocol::{DeviceKey, wire};
use graceful_raw_client::dial::{Address, ConnectOptions};

/// Longest wait for the person at the other device.
const ANSWER_WAIT: Duration = Duration::from_secs(10 * 60);

/// A pairing link waiting for a device.
#[derive(Debug)]
pub struct Pairing {
    link: PairingLink,
    requests: mpsc::Receiver<Bytes>,
    until: Instant,
    client: Client,
}

/// A request to join. Show the name, ask the person, then accept or refuse.
#[derive(Debug)]
pub struct JoinRequest {
    link: PairingLink,
    joining: Joining,
    client: Client,
}

/// Options for joining an account.
#[derive(Clone)]
pub struct JoinOptions {
    /// The profile directory for keys and journal. It is created if missing.
    pub profile_dir: PathBuf,
    /// The link from the other device.
    pub link: String,
    /// The device name that people see; the other device shows it.
    pub device_name: String,
    /// The app's identifier of this device, at most 64 bytes.
    pub device_id: String,
    /// Connection options.
    pub connect: ConnectOptions,
}

/// Omits the link, which contains a secret.
impl fmt::Debug for JoinOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinOptions")
            .field("profile_dir", &self.profile_dir)
            .field("device_name", &self.device_name)
            .field("connect", &self.connect)
            .finish_non_exhaustive()
    }
}

/// The progress of joining.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinProgress {
    /// Dialling the relay.
    Connecting,
    /// Waiting for the person at the other device.
    Waiting,
    /// Accepted; writing the profile.
    Accepted,
}

impl Pairing {
    pub(super) fn new(
        link: PairingLink,
        requests: mpsc::Receiver<Bytes>,
        lifetime: Duration,
        client: Client,
    ) -> Self {
        Self {
            link,
            requests,
            until: Instant::now() + lifetime,
            client,
        }
    }

    /// Returns the link to show as text and QR code. It contains a secret: never log it.
    pub fn link(&self) -> String {
        self.link.to_string()
    }

    /// Waits for a device to use the link. A link is valid once.
    ///
    /// # Errors
    /// [`ClientError::PairingExpired`], or [`ClientError::Pairing`] if the request was not made
    /// with the link.
    pub async fn next_request(&mut self) -> Result<JoinRequest, ClientError> {
        let sealed = timeout_at(self.until, self.requests.recv()).await;
        let sealed = sealed.ok().flatten().ok_or(ClientError::PairingExpired)?;
        let joining = open_request(&self.link, &sealed)?;
        Ok(JoinRequest {
            link: self.link.clone(),
            joining,
            client: self.client.clone(),
        })
    }
}

impl JoinRequest {
    /// Returns the device's own name.
    pub fn name(&self) -> &str {
        &self.joining.name
    }

    /// Returns the device's public key.
    pub fn device(&self) -> DeviceKey {
        self.joining.device
    }

    /// Adds the device to the account. Returns when the relay has stored the entry and the account
    /// is on its way to the device. Earlier changes are not sent: use [`Client::send_snapshot`].
    ///
    /// # Errors
    /// [`ClientError::Offline`], [`ClientError::Membership`], [`ClientError::Refused`]
    pub async fn accept(self) -> Result<(), ClientError> {
        let Self {
            link,
            joining,
            client,
        } = self;
        client
            .call(|reply| Command::Accept(link, joining, reply))
            .await
    }

    /// Refuses the device.
    ///
    /// # Errors
    /// [`ClientError::Closed`]
    pub async fn refuse(self) -> Result<(), ClientError> {
        let Self {
            link,
            joining,
            client,
        } = self;
        client
            .call(|reply| Command::Decline(link, joining, reply))
            .await
    }
}

impl Client {
    /// Opens a rendezvous for one new device, for at most ten minutes or the relay's limit.
    ///
    /// # Errors
    /// [`ClientError::Offline`], [`ClientError::Refused`]
    pub async fn pair(&self, lifetime: Duration) -> Result<Pairing, ClientError> {
        let link = PairingLink::random(self.relay.clone(), &mut OsRng);
        let (sender, requests) = mpsc::channel(1);
        let slot = link.clone();
        self.call(|reply| Command::OpenSlot(slot, lifetime, sender, reply))
            .await?;
        Ok(Pairing::new(link, requests, lifetime, self.clone()))
    }

    /// Joins an account by a link shown on one of its devices. Waits up to ten minutes for the
    /// person there.
    ///
    /// # Errors
    /// [`ClientError::Pairing`] if declined, [`ClientError::Refused`] if the link was used or
    /// expired, [`ClientError::Unreachable`], [`ClientError::ProfileExists`], and file errors.
    pub async fn join(
        options: JoinOptions,
        mut progress: impl FnMut(JoinProgress),
    ) -> Result<Self, ClientError> {
        let link: PairingLink = options.link.parse()?;
        check_ids(&options.device_id, &options.device_name)?;
        if profile::exists(&options.profile_dir) {
            return Err(ClientError::ProfileExists(options.profile_dir));
        }
        let address = Address::parse(&link.relay, &options.connect)?;
        let keys = DeviceKeys::random(&mut OsRng);
        let request = seal_request(&link, &keys, &options.device_name, &mut OsRng)?;
        progress(JoinProgress::Connecting);
        let unreachable = |what| ClientError::Unreachable {
            relay: link.relay.clone(),
            what,
        };
        let mut connection = Connection::dial(address).await.map_err(unreachable)?;
        let answer = exchange(&mut connection, &link, request, &mut progress).await;
        connection.close().await;
        let account = open_bundle(&link, &keys, &answer?)?;
        progress(JoinProgress::Accepted);
        let identity = Identity {
            keys,
            device_id: options.device_id,
            account,
        };
        profile::create(&options.profile_dir, &link.relay, &identity)?;
        let connect = options.connect;
        Self::open(OpenOptions {
            profile_dir: options.profile_dir,
            applied: None,
            connect,
        })
        .await
    }
}

async fn exchange(
    connection: &mut Connection,
    link: &PairingLink,
    sealed: Bytes,
    progress: &mut impl FnMut(JoinProgress),
) -> Result<Bytes, ClientError> {
    let until = Instant::now() + ANSWER_WAIT;
    let unreachable = |what| ClientError::Unreachable {
        relay: link.relay.clone(),
        what,
    };
    let mut request = Some(sealed);
    let mut ping_interval = Duration::from_secs(30);
    let mut pings = 0;
    loop {
        let deadline = until.min(Instant::now() + ping_interval);
        match timeout_at(deadline, connection.receive()).await {
            Ok(frame) => match frame.map_err(unreachable)? {
                RelayFrame::Greeting(greeting) => {
                    let ping_interval_s = greeting
                        .limits
                        .map_or(30, |limits| limits.ping_interval_s.max(1));
                    ping_interval = Duration::from_secs(u64::from(ping_interval_s));
                    let Some(sealed) = request.take() else {
                        continue;
                    };
                    let join = wire::JoinRendezvous {
                        id: link.id.to_wire(),
                        sealed,
                    };
                    connection
                        .send(DeviceFrame::JoinRendezvous(join))
                        .await
                        .map_err(unreachable)?;
                    progress(JoinProgress::Waiting);
                }
                RelayFrame::RendezvousMessage(message) if *message.id == *link.id.as_bytes() => {
                    return Ok(message.sealed);
                }
                RelayFrame::Refusal(refusal) => {
                    let code = refusal.code();
                    return Err(ClientError::Refused {
                        code,
                        message: refusal.message,
                    });
                }
                _ => {}
            },
            Err(_) if Instant::now() >= until => return Err(ClientError::PairingExpired),
            Err(_) => {
                pings += 1;
                let ping = DeviceFrame::Ping(wire::Ping { number: pings });
                connection.send(ping).await.map_err(unreachable)?;
            }
        }
    }
}
