//! Getting an account back with nothing but the words of its recovery key and the relay's address.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::timeout;

use super::connection::Connection;
use super::error::ClientError;
use super::handle::{Client, OpenOptions, check_ids};
use super::pending_recovery;
use super::profile;
use super::task::Command;
use graceful_engine::DeviceKeys;
use graceful_engine::Identity;
use graceful_engine::OsRng;
use graceful_engine::mnemonic::RecoveryKey;
use graceful_engine::pairing::{Account, Joining};
use graceful_engine::recovery::{Recovery, RecoveryError, Step};
use graceful_protocol::frame::DeviceFrame;
use graceful_raw_client::dial::{Address, ConnectOptions};

/// A relay that sends nothing for this long is not going to.
const FRAME_WAIT: Duration = Duration::from_secs(30);

/// How to get an account back.
#[derive(Debug, Clone)]
pub struct RecoverOptions {
    /// Where the new device keeps its keys and its journal; made if it is not there.
    pub folder: PathBuf,
    /// The relay's address, like `wss://relay.example`.
    pub relay: String,
    /// What the words that were written down say.
    pub recovery: RecoveryKey,
    /// What people call this device.
    pub device_name: String,
    /// The app's own name for this device, at most 64 bytes.
    pub device_id: String,
    /// Whether to remove every other device in the same step: after a theft, or where the account
    /// has as many devices as the relay allows.
    pub remove_others: bool,
    /// How to connect.
    pub connect: ConnectOptions,
}

/// How far a recovery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecoverProgress {
    /// Dialling the relay.
    Connecting,
    /// The relay is asked for the account.
    Asking,
    /// The account is there and was checked; this device is being added to it.
    Adding,
    /// Added; writing the folder.
    Added,
}

impl Client {
    /// Adds this device to the account of a recovery key, whether or not any other device is left.
    /// If it breaks off, calling it again with the same folder and words goes on with the same keys.
    ///
    /// # Errors
    /// [`ClientError::Recovery`] (the relay knows no such account, or is not honest…),
    /// [`ClientError::Unreachable`], [`ClientError::ProfileExists`], and those of files.
    pub async fn recover(
        options: RecoverOptions,
        mut progress: impl FnMut(RecoverProgress),
    ) -> Result<Self, ClientError> {
        let address = Address::parse(&options.relay, &options.connect)?;
        check_ids(&options.device_id, &options.device_name)?;
        let folder = &options.folder;
        let lock = profile::claim(folder)?;
        if profile::exists(folder) {
            pending_recovery::forget(folder)?;
            return Err(ClientError::ProfileExists(folder.clone()));
        }
        let keys = pending_recovery::keys(folder, &options.recovery.keys().device())?;
        let account = match ask(&address, &options, &keys, &mut progress).await {
            Err(error @ ClientError::Recovery(RecoveryError::Removed)) => {
                pending_recovery::forget(folder)?;
                return Err(error);
            }
            account => account?,
        };
        progress(RecoverProgress::Added);
        let RecoverOptions {
            folder,
            relay,
            device_id,
            connect,
            ..
        } = options;
        profile::create(
            &folder,
            &relay,
            &Identity {
                keys,
                device_id,
                account,
            },
        )?;
        pending_recovery::forget(&folder)?;
        drop(lock);
        let client = Self::open(OpenOptions {
            folder,
            applied: None,
            connect,
        })
        .await?;
        // Nobody else has heard what this device is called.
        client.ask(Command::Announce).await?;
        Ok(client)
    }
}

async fn ask(
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
    let account = converse(&mut connection, recovery, unreachable, progress).await;
    connection.close().await;
    account
}

async fn converse(
    connection: &mut Connection,
    mut recovery: Recovery,
    unreachable: impl Fn(String) -> ClientError,
    progress: &mut impl FnMut(RecoverProgress),
) -> Result<Account, ClientError> {
    loop {
        let frame = timeout(FRAME_WAIT, connection.receive()).await;
        let frame = match frame.unwrap_or_else(|_| Err("it stopped answering".to_owned())) {
            Ok(frame) => frame,
            Err(what) => {
                return Err(recovery
                    .broken_off()
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
