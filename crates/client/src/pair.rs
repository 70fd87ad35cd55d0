//! Pairing from both sides: showing a link and answering, or following one.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::connection::Connection;
use super::error::ClientError;
use super::handle::{Client, OpenOptions, check_ids};
use super::profile;
use super::task::Command;
use graceful_engine::DeviceKeys;
use graceful_engine::Identity;
use graceful_engine::OsRng;
use graceful_engine::link::PairingLink;
use graceful_engine::pairing::{Joining, open_bundle, open_request, seal_request};
use graceful_protocol::frame::{DeviceFrame, RelayFrame};
use graceful_protocol::{DeviceKey, wire};
use graceful_raw_client::dial::{Address, ConnectOptions};

/// The person at the other device has this long to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10 * 60);

/// A link that is shown, waiting for one device.
#[derive(Debug)]
pub struct Pairing {
    link: PairingLink,
    requests: mpsc::Receiver<Bytes>,
    until: Instant,
    client: Client,
}

/// A device asks to join. Show its name, ask the person, then accept or refuse.
#[derive(Debug)]
pub struct JoinAsk {
    link: PairingLink,
    joining: Joining,
    client: Client,
}

/// How to join an account.
#[derive(Clone)]
pub struct JoinOptions {
    /// Where the device keeps its keys and its journal; made if it is not there.
    pub folder: PathBuf,
    /// The link from the other device.
    pub link: String,
    /// What people call this device; the other one shows it.
    pub device_name: String,
    /// The app's own name for this device, at most 64 bytes.
    pub device_id: String,
    /// How to connect.
    pub connect: ConnectOptions,
}

/// Without the link, which holds a secret.
impl fmt::Debug for JoinOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinOptions")
            .field("folder", &self.folder)
            .field("device_name", &self.device_name)
            .field("connect", &self.connect)
            .finish_non_exhaustive()
    }
}

/// How far joining has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinProgress {
    /// Dialling the relay.
    Connecting,
    /// The person at the other device is being asked.
    Waiting,
    /// Accepted; writing the folder.
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

    /// To show as text and as a QR code. It contains a secret: show it to the person alone.
    pub fn link(&self) -> String {
        self.link.to_string()
    }

    /// Waits for a device to follow the link. A link is good once: after this, make another.
    ///
    /// # Errors
    /// [`ClientError::PairingExpired`], [`ClientError::Pairing`] if what came was not made with the link.
    pub async fn next_request(&mut self) -> Result<JoinAsk, ClientError> {
        let sealed = timeout_at(self.until, self.requests.recv()).await;
        let sealed = sealed.ok().flatten().ok_or(ClientError::PairingExpired)?;
        let joining = open_request(&self.link, &sealed)?;
        Ok(JoinAsk {
            link: self.link.clone(),
            joining,
            client: self.client.clone(),
        })
    }
}

impl JoinAsk {
    /// What the device calls itself.
    pub fn name(&self) -> &str {
        &self.joining.name
    }

    /// Its name to the relay, for good.
    pub fn device(&self) -> DeviceKey {
        self.joining.device
    }

    /// Takes the device into the account. Returns when the relay has that on disk and the account
    /// is on its way to the device. What came before is not: [`Client::send_snapshot`] gives it that.
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
            .ask(|reply| Command::Accept(link, joining, reply))
            .await
    }

    /// Says no.
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
            .ask(|reply| Command::Decline(link, joining, reply))
            .await
    }
}

impl Client {
    /// Joins an account by a link that one of its devices shows. Waits for the person there, at
    /// most ten minutes.
    ///
    /// # Errors
    /// [`ClientError::Pairing`] if refused, [`ClientError::Refused`] if the link is used up or too
    /// old, [`ClientError::Unreachable`], [`ClientError::ProfileExists`], and those of files.
    pub async fn join(
        options: JoinOptions,
        mut progress: impl FnMut(JoinProgress),
    ) -> Result<Self, ClientError> {
        let link: PairingLink = options.link.parse()?;
        check_ids(&options.device_id, &options.device_name)?;
        if profile::exists(&options.folder) {
            return Err(ClientError::ProfileExists(options.folder));
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
        let answer = ask(&mut connection, &link, request, &mut progress).await;
        connection.close().await;
        let account = open_bundle(&link, &keys, &answer?)?;
        progress(JoinProgress::Accepted);
        let identity = Identity {
            keys,
            device_id: options.device_id,
            account,
        };
        profile::create(&options.folder, &link.relay, &identity)?;
        let connect = options.connect;
        Self::open(OpenOptions {
            folder: options.folder,
            applied: None,
            connect,
        })
        .await
    }
}

async fn ask(
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
    let mut heartbeat = Duration::from_secs(30);
    let mut pings = 0;
    loop {
        let patience = until.min(Instant::now() + heartbeat);
        match timeout_at(patience, connection.receive()).await {
            Ok(frame) => match frame.map_err(unreachable)? {
                RelayFrame::Greeting(greeting) => {
                    let ping_interval_s = greeting
                        .limits
                        .map_or(30, |limits| limits.ping_interval_s.max(1));
                    heartbeat = Duration::from_secs(u64::from(ping_interval_s));
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
                        text: refusal.message,
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
