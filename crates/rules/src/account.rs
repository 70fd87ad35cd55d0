//! The state of one account: its log position, its devices and their cursors.

use super::quota::Quota;
use graceful_protocol::wire::gap::Reason;
use graceful_protocol::{AccountId, Chain, DeviceKey, chain};

/// The store's number of an account. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountNumber(pub u64);

/// A device within its account: the index of the membership entry that added it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceIndex(pub u32);

/// The devices an envelope is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipient {
    /// Every device except the sender, including devices that join later.
    Everyone,
    /// One device.
    One(DeviceIndex),
}

/// Metadata of a stored envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnvelopeMeta {
    /// Position in the account's log.
    pub seq: u64,
    /// The device that pushed the envelope.
    pub sender: DeviceIndex,
    /// The devices it is for.
    pub recipient: Recipient,
    /// Size of the sealed envelope in bytes.
    pub size: u32,
}

/// A range of seqs in which a device lost every envelope meant for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// First seq.
    pub from: u64,
    /// Last seq.
    pub through: u64,
    /// Reason for the newest loss in the range.
    pub reason: Reason,
}

/// A member device and its positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Index within the account.
    pub device_index: DeviceIndex,
    /// Public key.
    pub key: DeviceKey,
    /// Highest seq it has acknowledged.
    pub cursor: u64,
    /// Number of its last stored push.
    pub push_number: u64,
    /// Lost envelopes that the device has not acknowledged yet.
    pub gap: Option<Gap>,
}

/// The account row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The store's number of the account.
    pub number: AccountNumber,
    /// The public id of the account.
    pub id: AccountId,
    /// Seq of the newest envelope ever stored; 0 before the first.
    pub head: u64,
    /// Running hash through `head`.
    pub chain: Chain,
    /// Stored bytes as counted against the quota.
    pub stored_bytes: u64,
    /// Number of stored envelopes.
    pub stored_envelopes: u64,
    /// Number of stored envelopes that target a single device.
    pub stored_targeted: u64,
    /// Entries in the membership log.
    pub membership_count: u64,
    /// Member devices in order of `device_index`.
    pub devices: Vec<Device>,
    /// Quota override; unset fields fall back to the relay's limits.
    pub quota: Quota,
}

/// Storage overhead of an envelope in bytes: row header, tag and index entry.
pub(super) const ENVELOPE_OVERHEAD_BYTES: u64 = 176;

impl EnvelopeMeta {
    /// Returns the bytes counted against the quota.
    pub fn cost(&self) -> u64 {
        u64::from(self.size) + ENVELOPE_OVERHEAD_BYTES
    }

    /// Returns whether the envelope is for `device`.
    pub fn is_for(&self, device: DeviceIndex) -> bool {
        match self.recipient {
            Recipient::Everyone => self.sender != device,
            Recipient::One(one) => one == device,
        }
    }
}

impl Account {
    /// Creates an account without devices or envelopes.
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

    /// Returns the member with this index.
    pub fn device(&self, device_index: DeviceIndex) -> Option<&Device> {
        self.devices
            .iter()
            .find(|device| device.device_index == device_index)
    }

    /// Returns the member with this index for modification.
    pub fn device_mut(&mut self, device_index: DeviceIndex) -> Option<&mut Device> {
        self.devices
            .iter_mut()
            .find(|device| device.device_index == device_index)
    }

    /// Returns the member with this key.
    pub fn device_by_key(&self, key: &DeviceKey) -> Option<&Device> {
        self.devices.iter().find(|device| device.key == *key)
    }

    /// Returns whether any device still needs this envelope; unneeded envelopes are deleted.
    ///
    /// An envelope for everyone, sent by the only member, is needed until another device joins.
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

    /// Adds an envelope to the counters.
    pub(super) fn add(&mut self, meta: &EnvelopeMeta) {
        self.stored_bytes += meta.cost();
        self.stored_envelopes += 1;
        self.stored_targeted += u64::from(meta.recipient != Recipient::Everyone);
    }

    /// Removes an envelope from the counters when its row is deleted.
    ///
    /// # Panics
    /// Panics on underflow: the counters would no longer match the rows.
    pub fn remove(&mut self, meta: &EnvelopeMeta) {
        assert!(
            self.stored_envelopes > 0 && self.stored_bytes >= meta.cost(),
            "account counters underflow"
        );
        self.stored_bytes -= meta.cost();
        self.stored_envelopes -= 1;
        self.stored_targeted -= u64::from(meta.recipient != Recipient::Everyone);
    }
}

impl Gap {
    /// Extends the gap by one lost envelope.
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

    /// Returns the part of the gap that an ack leaves open.
    pub(super) fn after(self, cursor: u64) -> Option<Self> {
        (cursor < self.through).then(|| Self {
            from: self.from.max(cursor + 1),
            ..self
        })
    }
}
