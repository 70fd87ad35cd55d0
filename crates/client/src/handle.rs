//! The handle that an app holds.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{Mutex, broadcast, mpsc, oneshot, watch};

use super::error::ClientError;
use super::pair::Pairing;
use super::profile;
use super::status::{Device, Status};
use super::task::{Channels, Command, Reply, start};
use graceful_engine::Identity;
use graceful_engine::OsRng;
use graceful_engine::engine::{Change, Event, Incoming, PushReceipt, State};
use graceful_engine::inbox::Position;
use graceful_engine::link::PairingLink;
use graceful_engine::mnemonic::RecoveryKey;
use graceful_engine::pairing::check_name;
use graceful_engine::seal::ID_BYTES_MAX;
use graceful_protocol::DeviceKey;
use graceful_raw_client::dial::{Address, ConnectOptions};

/// How to found an account.
#[derive(Clone)]
pub struct CreateOptions {
    /// Where the device keeps its keys and its journal; made if it is not there.
    pub folder: PathBuf,
    /// The relay's address, like `wss://relay.example`. A relay that made its own certificate is
    /// known by its key: `wss://192.168.1.20#KEY`, as `graceful-relay serve` shows it.
    pub relay: String,
    /// An invitation, where the relay asks for one.
    pub invite: Option<String>,
    /// What people call this device.
    pub device_name: String,
    /// The app's own name for this device, at most 64 bytes; travels sealed with each change.
    pub device_id: String,
    /// What brings the account back when all devices are lost. Show its words before this is used:
    /// they are kept nowhere. `None`, when an account is founded anew: there is no way back.
    pub recovery: Option<RecoveryKey>,
    /// How to connect.
    pub connect: ConnectOptions,
}

impl CreateOptions {
    /// Whether anything is wrong that can be seen without the relay. Changes nothing.
    ///
    /// # Errors
    /// Those of [`Client::create`].
    pub fn check(&self) -> Result<(), ClientError> {
        Address::parse(&self.relay, &self.connect)?;
        check_ids(&self.device_id, &self.device_name)?;
        profile::check_create_account(&self.folder, self.recovery.as_ref())
    }
}

/// Without the invitation.
impl fmt::Debug for CreateOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateOptions")
            .field("folder", &self.folder)
            .field("relay", &self.relay)
            .field("device_name", &self.device_name)
            .field("connect", &self.connect)
            .finish_non_exhaustive()
    }
}

/// How to open a device that was made before.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// The device's folder.
    pub folder: PathBuf,
    /// The last position that the app recorded in its own transaction, if it does that: what came
    /// up to there is not handed out again, even if a crash kept the journal from knowing.
    pub applied: Option<Position>,
    /// How to connect.
    pub connect: ConnectOptions,
}

impl OpenOptions {
    /// With nothing else to say.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            applied: None,
            connect: ConnectOptions::default(),
        }
    }
}

/// One device of an account. Clones are handles to the same; when the last is dropped, or
/// [`Client::close`] is called, it stops. Works offline: what is pushed waits on disk.
#[derive(Clone, Debug)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    deliveries: Arc<Mutex<mpsc::Receiver<Incoming>>>,
    events: broadcast::Sender<Event>,
    status: watch::Receiver<Status>,
    failure: Arc<OnceLock<String>>,
    relay: String,
}

/// Changes of the other devices, in order.
#[derive(Debug, Clone)]
pub struct Changes(Arc<Mutex<mpsc::Receiver<Incoming>>>);

impl Changes {
    /// The next change, gap or question; `None` when the client is closed. Safe to cancel. After a crash,
    /// what was not said to be [`Client::applied`] comes again, under the same position.
    pub async fn next(&mut self) -> Option<Incoming> {
        self.0.lock().await.recv().await
    }
}

impl Client {
    /// Founds an account and its first device. If the relay cannot be reached, or refuses, the
    /// folder keeps the keys, and calling this again goes on with them, under the name and id given then.
    /// The recovery key stays that of the first time.
    ///
    /// # Errors
    /// [`ClientError::Refused`] (an invitation is needed, registration is closed…),
    /// [`ClientError::Unreachable`], [`ClientError::ProfileExists`],
    /// [`ClientError::OtherRecoveryKey`], and those of files.
    pub async fn create(options: CreateOptions) -> Result<Self, ClientError> {
        options.check()?;
        let address = Address::parse(&options.relay, &options.connect)?;
        let folder = &options.folder;
        if profile::exists(folder) {
            profile::resume_creation(
                folder,
                &options.relay,
                &options.device_id,
                &options.device_name,
            )?;
        } else {
            let CreateOptions {
                device_id,
                device_name,
                recovery,
                ..
            } = &options;
            let identity = Identity::create_with_recovery(
                device_id,
                device_name,
                recovery.as_ref(),
                &mut OsRng,
            );
            profile::create(folder, &options.relay, &identity)?;
        }
        let profile = profile::open(folder)?;
        let client = Self::over(start(profile, address, options.invite.unwrap_or_default())?);
        match client.wait_created().await {
            Ok(()) => Ok(client),
            Err(error) => {
                let _ = client.close().await;
                Err(error)
            }
        }
    }

    async fn wait_created(&self) -> Result<(), ClientError> {
        let mut status = self.status.clone();
        let settled = |status: &Status| {
            status.created
                || status.last_error.is_some()
                || matches!(status.state, State::Refused { .. })
        };
        let Ok(status) = status.wait_for(settled).await else {
            return Err(self.closed().await);
        };
        match (&status.state, &status.last_error) {
            _ if status.created => Ok(()),
            (State::Refused { code, text }, _) => Err(ClientError::Refused {
                code: *code,
                text: text.clone(),
            }),
            (_, Some(text)) if let Some(code) = status.refusal => Err(ClientError::Refused {
                code,
                text: text.clone(),
            }),
            (_, error) => Err(ClientError::Unreachable {
                relay: status.relay.clone(),
                what: error.clone().unwrap_or_default(),
            }),
        }
    }

    /// Opens a device. Does not wait for the relay.
    ///
    /// # Errors
    /// [`ClientError::NoProfile`], [`ClientError::InUse`], [`ClientError::Damaged`], and those of files.
    pub async fn open(options: OpenOptions) -> Result<Self, ClientError> {
        let mut profile = profile::open(&options.folder)?;
        let address = Address::parse(&profile.relay, &options.connect)?;
        if let Some(position) = &options.applied {
            profile.state.applied_by_app(position);
        }
        Ok(Self::over(start(profile, address, String::new())?))
    }

    /// Looks at a device's folder without opening it; another program may have it open.
    ///
    /// # Errors
    /// [`ClientError::NoProfile`], [`ClientError::Damaged`], and those of files.
    pub fn inspect(folder: &Path) -> Result<Status, ClientError> {
        let (relay, state) = profile::look(folder)?;
        Ok(Status::of(
            &state,
            &relay,
            State::Offline { dial_at_ms: None },
            None,
        ))
    }

    fn over(channels: Channels) -> Self {
        let relay = channels.status.borrow().relay.clone();
        let deliveries = Arc::new(Mutex::new(channels.deliveries));
        let Channels {
            commands,
            events,
            status,
            failure,
            ..
        } = channels;
        Self {
            commands,
            deliveries,
            events,
            status,
            failure,
            relay,
        }
    }

    /// Takes changes, all or none. Returns when they are on this device's disk; they reach the relay
    /// when it is reachable, sealed. Many at once cost one disk write.
    ///
    /// # Errors
    /// [`ClientError::Push`] if one is too large, or the account is over for this device.
    pub async fn push(
        &self,
        changes: impl IntoIterator<Item = Change>,
    ) -> Result<PushReceipt, ClientError> {
        let changes = changes.into_iter().collect();
        self.ask(|reply| Command::Push(changes, reply)).await
    }

    /// Waits until the relay has everything pushed so far on its disk. `progress` hears how many
    /// changes still wait, each time that it changes.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the relay will not have this device any more.
    pub async fn stored(&self, mut progress: impl FnMut(u64)) -> Result<(), ClientError> {
        let mut status = self.status.clone();
        let mut told = None;
        loop {
            {
                let now = status.borrow_and_update();
                if told.replace(now.waiting) != Some(now.waiting) {
                    progress(now.waiting);
                }
                if now.waiting == 0 {
                    return Ok(());
                }
                if let State::Refused { code, text } = &now.state {
                    return Err(ClientError::Refused {
                        code: *code,
                        text: text.clone(),
                    });
                }
            }
            if status.changed().await.is_err() {
                return Err(self.closed().await);
            }
        }
    }

    /// Waits until everything of the others is applied and everything of this device stored.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the relay will not have this device any more.
    pub async fn up_to_date(&self) -> Result<(), ClientError> {
        let mut status = self.status.clone();
        let settled =
            |status: &Status| matches!(status.state, State::UpToDate | State::Refused { .. });
        let Ok(status) = status.wait_for(settled).await else {
            return Err(self.closed().await);
        };
        match &status.state {
            State::Refused { code, text } => Err(ClientError::Refused {
                code: *code,
                text: text.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Changes of the other devices. Several of these share one queue.
    pub fn changes(&self) -> Changes {
        Changes(self.deliveries.clone())
    }

    /// The app has applied this, and everything before it. Returns when that is on disk; the relay
    /// is told soon. Saying it once after a batch is enough.
    ///
    /// # Errors
    /// [`ClientError::Closed`]
    pub async fn applied(&self, incoming: &Incoming) -> Result<(), ClientError> {
        self.applied_through(*incoming.position()).await
    }

    /// As [`Client::applied`], by position.
    ///
    /// # Errors
    /// [`ClientError::Closed`]
    pub async fn applied_through(&self, position: Position) -> Result<(), ClientError> {
        self.ask(|reply| Command::Applied(position, reply)).await
    }

    /// What happens from now on. A listener that lags more than 1,024 events misses the oldest.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// How things stand now.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// How things stand, each time that it changes.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// The account's devices, removed ones last.
    pub fn devices(&self) -> Vec<Device> {
        self.status.borrow().devices.clone()
    }

    /// Opens a meeting place for one new device, for at most ten minutes or what the relay allows.
    ///
    /// # Errors
    /// [`ClientError::Offline`], [`ClientError::Refused`]
    pub async fn pair(&self, lifetime: Duration) -> Result<Pairing, ClientError> {
        let link = PairingLink::random(self.relay.clone(), &mut OsRng);
        let (sender, requests) = mpsc::channel(1);
        let slot = link.clone();
        self.ask(|reply| Command::OpenSlot(slot, lifetime, sender, reply))
            .await?;
        Ok(Pairing::new(link, requests, lifetime, self.clone()))
    }

    /// Removes a device. Returns when the relay has cut it off; from then on it can read nothing new.
    ///
    /// # Errors
    /// [`ClientError::Membership`], [`ClientError::Refused`]
    pub async fn remove(&self, device: DeviceKey) -> Result<(), ClientError> {
        self.ask(|reply| Command::Remove(device, reply)).await
    }

    /// Deletes what the relay keeps, up to a seq (`u64::MAX`: all), received or not. How many
    /// envelopes went.
    ///
    /// # Errors
    /// [`ClientError::Refused`]
    pub async fn delete_through(&self, through: u64) -> Result<u64, ClientError> {
        self.ask(|reply| Command::DeleteThrough(through, reply))
            .await
    }

    /// Deletes everything the relay has of the account, for all devices. How many envelopes went.
    ///
    /// # Errors
    /// [`ClientError::Refused`]
    pub async fn delete_account(&self) -> Result<u64, ClientError> {
        self.ask(Command::DeleteAccount).await
    }

    /// A person has seen the warnings in [`Client::status`]: they are not kept any longer.
    ///
    /// # Errors
    /// [`ClientError::Closed`]
    pub async fn dismiss_alerts(&self) -> Result<(), ClientError> {
        self.ask(Command::DismissAlerts).await
    }

    /// Sends what is still to be acknowledged, closes the connection and the files.
    ///
    /// # Errors
    /// [`ClientError::File`] if the disk failed.
    pub async fn close(self) -> Result<(), ClientError> {
        let result = self.ask(Command::Close).await;
        // The thread drops the channels, and with them the lock, before this returns.
        self.commands.closed().await;
        match result {
            Err(ClientError::Closed(_)) if self.failure.get().is_none() => Ok(()),
            result => result,
        }
    }

    #[cfg(test)]
    pub(super) fn dying_of(mut self, failure: &str, commands: mpsc::Sender<Command>) -> Self {
        self.commands = commands;
        let _ = self.failure.set(failure.to_owned());
        self
    }

    pub(super) async fn ask<T>(
        &self,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, ClientError> {
        let (reply, answer) = oneshot::channel();
        if self.commands.send(command(reply)).await.is_err() {
            return Err(self.closed().await);
        }
        match answer.await {
            Ok(result) => result,
            Err(_) => Err(self.closed().await),
        }
    }

    /// Why there is no answer. What ended the task is known when it has let go of the commands.
    async fn closed(&self) -> ClientError {
        self.commands.closed().await;
        let failure = self.failure.get().cloned();
        ClientError::Closed(failure.unwrap_or_else(|| "it was closed before".to_owned()))
    }
}

pub(super) fn check_ids(device_id: &str, device_name: &str) -> Result<(), ClientError> {
    if device_id.len() > ID_BYTES_MAX {
        return Err(ClientError::Invalid("a device id has at most 64 bytes"));
    }
    check_name(device_name).map_err(ClientError::from)
}
