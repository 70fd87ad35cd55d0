//! The status of a client, as plain data.

use graceful_engine::EngineState;
use graceful_engine::engine::State;
use graceful_engine::record::Alert;
use graceful_protocol::{AccountId, Code, DeviceKey};

/// A device of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its public key.
    pub key: DeviceKey,
    /// Its name, if known.
    pub name: Option<String>,
    /// Whether it is this device.
    pub this: bool,
    /// Whether it was removed.
    pub removed: bool,
}

/// A snapshot of the client's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The account.
    pub account: AccountId,
    /// This device.
    pub device: DeviceKey,
    /// The app's identifier of this device.
    pub device_id: String,
    /// The relay's address, as given.
    pub relay: String,
    /// The sync state.
    pub state: State,
    /// Why the last connection attempt failed; `None` while connected.
    pub last_error: Option<String>,
    /// The relay's refusal behind `last_error`, if it was reached.
    pub refusal: Option<Code>,
    /// Whether the relay has accepted the account.
    pub created: bool,
    /// Received and applied through this seq.
    pub cursor: u64,
    /// Own changes that the relay has stored, by push number.
    pub stored_through: u64,
    /// Own changes that the relay has not stored.
    pub waiting: u64,
    /// Number of key changes of the account.
    pub key_epoch: u32,
    /// The public half of the recovery key, if the account has one.
    pub recovery: Option<DeviceKey>,
    /// The devices, removed ones last.
    pub devices: Vec<Device>,
    /// Alerts that were not dismissed, oldest first.
    pub alerts: Vec<Alert>,
}

/// Why the last connection attempt failed.
#[derive(Debug, Clone)]
pub(super) struct ConnectError {
    pub(super) message: String,
    pub(super) refusal: Option<Code>,
}

impl Status {
    pub(super) fn new(
        state: &EngineState,
        relay: &str,
        sync: State,
        error: Option<ConnectError>,
    ) -> Self {
        let account = state.account();
        let own = account.keys().device();
        let log = account.membership();
        let device = |key: &DeviceKey, removed| Device {
            key: *key,
            name: account.name(key).map(str::to_owned),
            this: *key == own,
            removed,
        };
        let members = log
            .members()
            .iter()
            .map(|member| device(&member.device, false));
        let removed = log.removed().iter().map(|key| device(key, true));
        Self {
            account: account.account(),
            device: own,
            device_id: state.device_id().to_owned(),
            relay: relay.to_owned(),
            state: sync,
            refusal: error.as_ref().and_then(|error| error.refusal),
            last_error: error.map(|error| error.message),
            created: state.welcomed(),
            cursor: state.inbox().cursor(),
            stored_through: state.outbox().stored_through(),
            waiting: state.outbox().waiting(),
            key_epoch: log.key_epoch(),
            recovery: log.recovery().map(|recovery| recovery.key),
            devices: members.chain(removed).collect(),
            alerts: state.alerts().iter().cloned().collect(),
        }
    }
}
