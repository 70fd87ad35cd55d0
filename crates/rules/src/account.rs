//! An account as the rules see it: where its log stands and what each device has had of it.

use super::quota::Quota;
use graceful_protocol::wire::gap::Reason;
use graceful_protocol::{AccountId, Chain, DeviceKey, chain};

/// The store's short name for an account. Never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountNumber(pub u64);

/// A device within its account: the index of the membership entry that added it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceIndex(pub u32);

/// Whom an envelope is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipient {
    /// Every device but the sender, those that join later included.
    Everyone,
    /// One device.
    One(DeviceIndex),
}

/// What of a kept envelope the rules need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnvelopeMeta {
    /// Its position.
    pub seq: u64,
    /// Who pushed it.
    pub sender: DeviceIndex,
    /// Whom it is for.
    pub recipient: Recipient,
    /// Bytes of the sealed envelope.
    pub size: u32,
}

/// Envelopes that a device will never get: among `from..=through`, all that were meant for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The first.
    pub from: u64,
    /// The last.
    pub through: u64,
    /// Why, for the newest of them.
    pub reason: Reason,
}

/// A member and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name within the account.
    pub device_index: DeviceIndex,
    /// Its name to everybody.
    pub key: DeviceKey,
    /// Highest seq it has acknowledged.
    pub cursor: u64,
    /// Its last push that was kept.
    pub push_number: u64,
    /// What it has lost and not yet acknowledged.
    pub gap: Option<Gap>,
}

/// An account's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The store's name for it.
    pub number: AccountNumber,
    /// Everybody's name for it.
    pub id: AccountId,
    /// Seq of the newest envelope ever kept; 0 before the first.
    pub head: u64,
    /// Running hash through `head`.
    pub chain: Chain,
    /// What is kept, as counted against the quota.
    pub stored_bytes: u64,
    /// How many envelopes are kept.
    pub stored_envelopes: u64,
    /// How many of them are for one device alone.
    pub stored_targeted: u64,
    /// Entries in the membership log.
    pub membership_count: u64,
    /// The members, by device_index.
    pub devices: Vec<Device>,
    /// What it may keep, where that is not what all may.
    pub quota: Quota,
}

/// Bytes that an envelope costs beside its own: its row's head and tag, and its place in the index.
pub(super) const ENVELOPE_OVERHEAD_BYTES: u64 = 176;

impl EnvelopeMeta {
    /// What it counts against the quota, in bytes.
    pub fn cost(&self) -> u64 {
        u64::from(self.size) + ENVELOPE_OVERHEAD_BYTES
    }

    /// Whether it is for this device at all.
    pub fn is_for(&self, device: DeviceIndex) -> bool {
        match self.recipient {
            Recipient::Everyone => self.sender != device,
            Recipient::One(one) => one == device,
        }
    }
}

impl Account {
    /// One without devices or envelopes.
    pub fn new(number: AccountNumber, id: AccountId) -> Self {
        Self {
            number,
            id,
            head: 0,
            chain: chain::START,
            stored_bytes: 0,
            stored_envelopes: 0,
            stored_targeted: 0,
            membership_count: 0,
            devices: Vec::new(),
            quota: Quota::default(),
        }
    }

    /// The member of this name.
    pub fn device(&self, device_index: DeviceIndex) -> Option<&Device> {
        self.devices
            .iter()
            .find(|device| device.device_index == device_index)
    }

    /// The member of this name, to change.
    pub fn device_mut(&mut self, device_index: DeviceIndex) -> Option<&mut Device> {
        self.devices
            .iter_mut()
            .find(|device| device.device_index == device_index)
    }

    /// The member with this key.
    pub fn device_by_key(&self, key: &DeviceKey) -> Option<&Device> {
        self.devices.iter().find(|device| device.key == *key)
    }

    /// Whether any device still has to have this envelope. What nobody awaits is deleted.
    ///
    /// An envelope for everyone, whose sender is the only member, waits for a device to join.
    pub fn needs(&self, meta: &EnvelopeMeta) -> bool {
        let mut readers = self
            .devices
            .iter()
            .filter(|device| meta.is_for(device.device_index))
            .peekable();
        if readers.peek().is_none() {
            return meta.recipient == Recipient::Everyone && !self.devices.is_empty();
        }
        readers.any(|device| device.cursor < meta.seq)
    }

    /// Counts an envelope in.
    pub(super) fn add(&mut self, meta: &EnvelopeMeta) {
        self.stored_bytes += meta.cost();
        self.stored_envelopes += 1;
        self.stored_targeted += u64::from(meta.recipient != Recipient::Everyone);
    }

    /// Counts an envelope out again when its row goes.
    ///
    /// # Panics
    /// If more goes than came: the row would be lying.
    pub fn remove(&mut self, meta: &EnvelopeMeta) {
        assert!(
            self.stored_envelopes > 0 && self.stored_bytes >= meta.cost(),
            "more envelopes went than came"
        );
        self.stored_bytes -= meta.cost();
        self.stored_envelopes -= 1;
        self.stored_targeted -= u64::from(meta.recipient != Recipient::Everyone);
    }
}

impl Gap {
    /// One more envelope lost.
    pub(super) fn with(gap: Option<Self>, seq: u64, reason: Reason) -> Self {
        gap.map_or(
            Self {
                from: seq,
                through: seq,
                reason,
            },
            |gap| Self {
                from: gap.from.min(seq),
                through: gap.through.max(seq),
                reason,
            },
        )
    }

    /// What is left of it after an ack.
    pub(super) fn after(self, cursor: u64) -> Option<Self> {
        (cursor < self.through).then(|| Self {
            from: self.from.max(cursor + 1),
            ..self
        })
    }
}
