//! Account recovery from the recovery phrase and the relay's address.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::timeout;

use crate::connection::Connection;
use crate::error::ClientError;
use crate::handle::{Client, OpenOptions, check_ids};
use crate::pending_recovery;
use crate::profile;
use crate::task::Command;
use graceful_engine::DeviceKeys;
use graceful_engine::Identity;
use graceful_engine::OsRng;
use graceful_engine::mnemonic::RecoveryKey;
use graceful_engine::pairing::{Account, Joining};
use graceful_engine::recovery::{Recovery, RecoveryError, Step};
use graceful_protocol::frame::DeviceFrame;
use graceful_raw_client::dial::{Address, ConnectOptions};

/// Longest wait for a frame of the relay.
const FRAME_WAIT: Duration = Duration::from_secs(30);

/// Options for recovering an account.
#[derive(Debug, Clone)]
pub struct RecoverOptions {
    /// The profile directory for keys and journal. It is created if missing.
    pub profile_dir: PathBuf,
    /// The relay's address, such as `wss://relay.example`.
    pub relay: String,
    /// The recovery key.
    pub recovery: RecoveryKey,
    /// The device name that people see.
    pub device_name: String,
    /// The app's identifier of this device, at most 64 bytes.
    pub device_id: String,
    /// Whether to remove every other device in the same step: after a theft, or if the account is
    /// at its device limit.
    pub remove_others: bool,
    /// Connection options.
    pub connect: ConnectOptions,
}

/// The progress of a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecoverProgress {
    /// Dialling the relay.
    Connecting,
    /// Requesting the account.
    Asking,
    /// The account is verified; adding this device.
    Adding,
    /// Added; writing the profile.
    Added,
}

impl Client {
    /// Adds this device to the account of a recovery key, even if no other device is left. A retry
    /// with the same directory and key resumes with the same device keys.
    ///
    /// # Errors
    /// [`ClientError::Recovery`] (unknown account, misbehaving relay…),
    /// [`ClientError::Unreachable`], [`ClientError::ProfileExists`], and file errors.
    pub async fn recover(
        options: RecoverOptions,
        mut progress: impl FnMut(RecoverProgress),
    ) -> Result<Self, ClientError> {
        let address = Address::parse(&options.relay, &options.connect)?;
        check_ids(&options.device_id, &options.device_name)?;
        let profile_dir = &options.profile_dir;
        let lock = profile::create_and_lock(profile_dir)?;
        if profile::exists(profile_dir) {
            pending_recovery::remove(profile_dir)?;
            return Err(ClientError::ProfileExists(profile_dir.clone()));
        }
        let keys =
            pending_recovery::load_or_create(profile_dir, &options.recovery.keys().device())?;
        let account = match request_account(&address, &options, &keys, &mut progress).await {
            Err(error @ ClientError::Recovery(RecoveryError::Removed)) => {
                pending_recovery::remove(profile_dir)?;
                return Err(error);
            }
            account => account?,
        };
        progress(RecoverProgress::Added);
        let RecoverOptions {
            profile_dir,
            relay,
            device_id,
            connect,
            ..
        } = options;
        profile::create(
            &profile_dir,
            &relay,
            &Identity {
                keys,
                device_id,
                account,
            },
        )?;
        pending_recovery::remove(&profile_dir)?;
        drop(lock);
        let client = Self::open(OpenOptions {
            profile_dir,
            applied: None,
            connect,
        })
        .await?;
        // No other device knows this device's name yet.
        client.call(Command::Announce).await?;
        Ok(client)
    }
}

async fn request_account(
    address: &Address,
    options: &RecoverOptions,
    keys: &DeviceKeys,
    progress: &mut impl FnMut(RecoverProgress),
) -> Result<Account, ClientError> {
    let unreachable = |what| ClientError::Unreachable {
        relay: options.relay.clone(),
        what,
    };
    progress(RecoverProgress::Connecting);
    let (device, agreement) = (keys.device(), keys.agreement().public());
    let joining = Joining {
        device,
        agreement,
        name: options.device_name.clone(),
    };
    let recovery = Recovery::new(
        &options.recovery,
        joining,
        options.remove_others,
        &address.host,
    );
    let mut connection = Connection::dial(address.clone())
        .await
        .map_err(unreachable)?;
    let account = run_recovery(&mut connection, recovery, unreachable, progress).await;
    connection.close().await;
    account
}

async fn run_recovery(
    connection: &mut Connection,
    mut recovery: Recovery,
    unreachable: impl Fn(String) -> ClientError,
    progress: &mut impl FnMut(RecoverProgress),
) -> Result<Account, ClientError> {
    loop {
        let frame = timeout(FRAME_WAIT, connection.receive()).await;
        let frame = match frame.unwrap_or_else(|_| Err("no answer".to_owned())) {
            Ok(frame) => frame,
            Err(what) => {
                return Err(recovery
                    .interruption()
                    .map_or_else(|| unreachable(what), ClientError::from));
            }
        };
        match recovery.handle_frame(frame, &mut OsRng)? {
            Step::Wait => {}
            Step::Send(frame) => {
                match &frame {
                    DeviceFrame::RecoverAccount(_) => progress(RecoverProgress::Asking),
                    _ => progress(RecoverProgress::Adding),
                }
                connection.send(frame).await.map_err(&unreachable)?;
            }
            Step::Done(account) => return Ok(account),
        }
    }
}
