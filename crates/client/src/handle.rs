//! The client handle of an app.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tokio::sync::{Mutex, broadcast, mpsc, oneshot, watch};

use crate::error::ClientError;
use crate::profile;
use crate::status::{Device, Status};
use crate::task::{Channels, Command, Reply, start};
use graceful_engine::Identity;
use graceful_engine::OsRng;
use graceful_engine::engine::{Change, Event, Incoming, PushReceipt, State};
use graceful_engine::inbox::Position;
use graceful_engine::mnemonic::RecoveryKey;
use graceful_engine::pairing::check_name;
use graceful_engine::seal::ID_BYTES_MAX;
use graceful_protocol::DeviceKey;
use graceful_raw_client::dial::{Address, ConnectOptions};

/// Options for creating an account.
#[derive(Clone)]
pub struct CreateOptions {
    /// The profile directory for keys and journal. It is created if missing.
    pub profile_dir: PathBuf,
    /// The relay's address, such as `wss://relay.example`. A relay with a self-signed certificate
    /// is pinned by its key: `wss://192.168.1.20#KEY`, as printed by `graceful-relay serve`.
    pub relay: String,
    /// An invitation, if the relay requires one.
    pub invite: Option<String>,
    /// The device name that people see.
    pub device_name: String,
    /// The app's identifier of this device, at most 64 bytes. It is encrypted in each change.
    pub device_id: String,
    /// The recovery key. Show its words before use: they are stored nowhere. Without it, an account
    /// cannot be recovered when all devices are lost.
    pub recovery: Option<RecoveryKey>,
    /// Connection options.
    pub connect: ConnectOptions,
}

impl CreateOptions {
    /// Checks the options without contacting the relay or writing anything.
    ///
    /// # Errors
    /// Those of [`Client::create`].
    pub fn check(&self) -> Result<(), ClientError> {
        Address::parse(&self.relay, &self.connect)?;
        check_ids(&self.device_id, &self.device_name)?;
        profile::check_create_account(&self.profile_dir, self.recovery.as_ref())
    }
}

/// Omits the invitation.
impl fmt::Debug for CreateOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateOptions")
            .field("profile_dir", &self.profile_dir)
            .field("relay", &self.relay)
            .field("device_name", &self.device_name)
            .field("connect", &self.connect)
            .finish_non_exhaustive()
    }
}

/// Options for opening an existing device.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// The profile directory.
    pub profile_dir: PathBuf,
    /// The last position that the app recorded in its own transaction, if it does so. Earlier
    /// changes are not delivered again, even if the journal missed them in a crash.
    pub applied: Option<Position>,
    /// Connection options.
    pub connect: ConnectOptions,
}

impl OpenOptions {
    /// Options with defaults.
    pub fn new(profile_dir: impl Into<PathBuf>) -> Self {
        Self {
            profile_dir: profile_dir.into(),
            applied: None,
            connect: ConnectOptions::default(),
        }
    }
}

/// One device of an account. Clones share it. It stops on [`Client::close`] or when the last clone
/// is dropped. It works offline: pushed changes wait on disk.
#[derive(Clone, Debug)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    deliveries: Arc<Mutex<mpsc::Receiver<Incoming>>>,
    events: broadcast::Sender<Event>,
    status: watch::Receiver<Status>,
    failure: Arc<OnceLock<String>>,
    pub(crate) relay: String,
}

/// The stream of changes from other devices, in order.
#[derive(Debug, Clone)]
pub struct Changes(Arc<Mutex<mpsc::Receiver<Incoming>>>);

impl Changes {
    /// Returns the next item, or `None` when the client is closed. Cancel-safe. After a crash,
    /// items not acknowledged by [`Client::applied`] are delivered again under the same position.
    pub async fn next(&mut self) -> Option<Incoming> {
        self.0.lock().await.recv().await
    }
}

impl Client {
    /// Creates an account with this device as its first. If the relay refuses or is unreachable,
    /// the directory keeps the keys, and another call resumes with them under the new name and id.
    /// The recovery key stays the first one.
    ///
    /// # Errors
    /// [`ClientError::Refused`] (an invitation is required, registration is closed…),
    /// [`ClientError::Unreachable`], [`ClientError::ProfileExists`],
    /// [`ClientError::OtherRecoveryKey`], and file errors.
    pub async fn create(options: CreateOptions) -> Result<Self, ClientError> {
        options.check()?;
        let address = Address::parse(&options.relay, &options.connect)?;
        let profile_dir = &options.profile_dir;
        if profile::exists(profile_dir) {
            profile::resume_creation(
                profile_dir,
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
            profile::create(profile_dir, &options.relay, &identity)?;
        }
        let profile = profile::open(profile_dir)?;
        let client =
            Self::from_channels(start(profile, address, options.invite.unwrap_or_default())?);
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
            (State::Refused { code, message }, _) => Err(ClientError::Refused {
                code: *code,
                message: message.clone(),
            }),
            (_, Some(message)) if let Some(code) = status.refusal => Err(ClientError::Refused {
                code,
                message: message.clone(),
            }),
            (_, error) => Err(ClientError::Unreachable {
                relay: status.relay.clone(),
                what: error.clone().unwrap_or_default(),
            }),
        }
    }

    /// Opens a device without waiting for the relay.
    ///
    /// # Errors
    /// [`ClientError::NoProfile`], [`ClientError::InUse`], [`ClientError::Damaged`], and file
    /// errors.
    pub async fn open(options: OpenOptions) -> Result<Self, ClientError> {
        let mut profile = profile::open(&options.profile_dir)?;
        let address = Address::parse(&profile.relay, &options.connect)?;
        if let Some(position) = &options.applied {
            profile.state.applied_by_app(position);
        }
        Ok(Self::from_channels(start(profile, address, String::new())?))
    }

    /// Reads the status of a profile without opening it, even if another program has it open.
    ///
    /// # Errors
    /// [`ClientError::NoProfile`], [`ClientError::Damaged`], and file errors.
    pub fn inspect(profile_dir: &Path) -> Result<Status, ClientError> {
        let (relay, state) = profile::read_state(profile_dir)?;
        Ok(Status::new(
            &state,
            &relay,
            State::Offline { dial_at_ms: None },
            None,
        ))
    }

    fn from_channels(channels: Channels) -> Self {
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

    /// Queues changes, all or none. Returns when they are on this device's disk. They are sent when
    /// the relay is reachable. A batch costs one disk sync.
    ///
    /// # Errors
    /// [`ClientError::Push`] if a change is too large, or the account no longer works on this
    /// device.
    pub async fn push(
        &self,
        changes: impl IntoIterator<Item = Change>,
    ) -> Result<PushReceipt, ClientError> {
        let changes = changes.into_iter().collect();
        self.call(|reply| Command::Push(changes, reply)).await
    }

    /// Waits until the relay has stored everything pushed so far. `progress` receives the number of
    /// waiting changes whenever it changes.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the relay refuses this device for good.
    pub async fn stored(&self, mut progress: impl FnMut(u64)) -> Result<(), ClientError> {
        let mut status = self.status.clone();
        let mut reported = None;
        loop {
            {
                let now = status.borrow_and_update();
                if reported.replace(now.waiting) != Some(now.waiting) {
                    progress(now.waiting);
                }
                if now.waiting == 0 {
                    return Ok(());
                }
                if let State::Refused { code, message } = &now.state {
                    return Err(ClientError::Refused {
                        code: *code,
                        message: message.clone(),
                    });
                }
            }
            if status.changed().await.is_err() {
                return Err(self.closed().await);
            }
        }
    }

    /// Waits until everything received is applied and everything pushed is stored.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the relay refuses this device for good.
    pub async fn up_to_date(&self) -> Result<(), ClientError> {
        let mut status = self.status.clone();
        let settled =
            |status: &Status| matches!(status.state, State::UpToDate | State::Refused { .. });
        let Ok(status) = status.wait_for(settled).await else {
            return Err(self.closed().await);
        };
        match &status.state {
            State::Refused { code, message } => Err(ClientError::Refused {
                code: *code,
                message: message.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Returns the changes of other devices. All streams share one queue.
    pub fn changes(&self) -> Changes {
        Changes(self.deliveries.clone())
    }

    /// Acknowledges an item and every earlier one. Returns when that is on disk. One call per batch
    /// is enough.
    ///
    /// # Errors
    /// [`ClientError::Closed`]
    pub async fn applied(&self, incoming: &Incoming) -> Result<(), ClientError> {
        self.applied_through(*incoming.position()).await
    }

    /// Acknowledges by position, like [`Client::applied`].
    ///
    /// # Errors
    /// [`ClientError::Closed`]
    pub async fn applied_through(&self, position: Position) -> Result<(), ClientError> {
        self.call(|reply| Command::Applied(position, reply)).await
    }

    /// Subscribes to events. A subscriber that lags more than 1,024 events misses the oldest.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Returns the current status.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Subscribes to the status.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Returns the account's devices, removed ones last.
    pub fn devices(&self) -> Vec<Device> {
        self.status.borrow().devices.clone()
    }

    /// Removes a device. Returns when the relay has disconnected it; it cannot decrypt later
    /// changes.
    ///
    /// # Errors
    /// [`ClientError::Membership`], [`ClientError::Refused`]
    pub async fn remove(&self, device: DeviceKey) -> Result<(), ClientError> {
        self.call(|reply| Command::Remove(device, reply)).await
    }

    /// Deletes stored envelopes through a seq (`u64::MAX` for all), received or not. Returns their
    /// number.
    ///
    /// # Errors
    /// [`ClientError::Refused`]
    pub async fn delete_through(&self, through: u64) -> Result<u64, ClientError> {
        self.call(|reply| Command::DeleteThrough(through, reply))
            .await
    }

    /// Deletes the account from the relay, for all devices. Returns the number of deleted
    /// envelopes.
    ///
    /// # Errors
    /// [`ClientError::Refused`]
    pub async fn delete_account(&self) -> Result<u64, ClientError> {
        self.call(Command::DeleteAccount).await
    }

    /// Clears the alerts in [`Client::status`].
    ///
    /// # Errors
    /// [`ClientError::Closed`]
    pub async fn dismiss_alerts(&self) -> Result<(), ClientError> {
        self.call(Command::DismissAlerts).await
    }

    /// Sends pending acks and closes the connection and the files.
    ///
    /// # Errors
    /// [`ClientError::File`] if the disk failed.
    pub async fn close(self) -> Result<(), ClientError> {
        let result = self.call(Command::Close).await;
        // The thread releases the profile lock before this returns.
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

    pub(super) async fn call<T>(
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

    /// Returns why there is no reply. The failure is set before the task drops its channels.
    async fn closed(&self) -> ClientError {
        self.commands.closed().await;
        let failure = self.failure.get().cloned();
        ClientError::Closed(failure.unwrap_or_else(|| "closed by the app".to_owned()))
    }
}

pub(super) fn check_ids(device_id: &str, device_name: &str) -> Result<(), ClientError> {
    if device_id.len() > ID_BYTES_MAX {
        return Err(ClientError::Invalid(
            "device id exceeds the limit of 64 bytes",
        ));
    }
    check_name(device_name).map_err(ClientError::from)
}
