//! Rows as bytes.

use prost::Message;
use sha2::{Digest, Sha256};

use graceful_protocol::wire::gap::Reason;
use graceful_protocol::{AccountId, Chain, DeviceKey};
use graceful_rules::{
    Account, AccountNumber, Device, DeviceIndex, EnvelopeMeta, Gap, Quota, Recipient, RelayTime,
};

use crate::{EnvelopeHeader, StoreError};

#[derive(Clone, PartialEq, Message)]
struct AccountRow {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(uint64, tag = "2")]
    head: u64,
    #[prost(bytes = "vec", tag = "3")]
    chain: Vec<u8>,
    #[prost(uint64, tag = "4")]
    stored_bytes: u64,
    #[prost(uint64, tag = "5")]
    stored_envelopes: u64,
    #[prost(uint64, tag = "6")]
    stored_targeted: u64,
    #[prost(uint64, tag = "7")]
    membership_count: u64,
    #[prost(message, repeated, tag = "8")]
    devices: Vec<DeviceRow>,
    #[prost(uint64, optional, tag = "9")]
    quota_bytes_max: Option<u64>,
    #[prost(uint64, optional, tag = "10")]
    quota_envelopes_max: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct DeviceRow {
    #[prost(uint32, tag = "1")]
    device_index: u32,
    #[prost(bytes = "vec", tag = "2")]
    key: Vec<u8>,
    #[prost(uint64, tag = "3")]
    cursor: u64,
    #[prost(uint64, tag = "4")]
    push_number: u64,
    #[prost(uint64, tag = "5")]
    gap_from: u64,
    #[prost(uint64, tag = "6")]
    gap_through: u64,
    #[prost(enumeration = "Reason", tag = "7")]
    gap_reason: i32,
}

pub(crate) fn encode_account(account: &Account) -> Vec<u8> {
    let devices = account.devices.iter().map(|device| DeviceRow {
        device_index: device.device_index.0,
        key: device.key.as_bytes().to_vec(),
        cursor: device.cursor,
        push_number: device.push_number,
        gap_from: device.gap.map_or(0, |gap| gap.from),
        gap_through: device.gap.map_or(0, |gap| gap.through),
        gap_reason: device.gap.map_or(0, |gap| gap.reason.into()),
    });
    let row = AccountRow {
        id: account.id.as_bytes().to_vec(),
        head: account.head,
        chain: account.chain.as_bytes().to_vec(),
        stored_bytes: account.stored_bytes,
        stored_envelopes: account.stored_envelopes,
        stored_targeted: account.stored_targeted,
        membership_count: account.membership_count,
        devices: devices.collect(),
        quota_bytes_max: account.quota.bytes_max,
        quota_envelopes_max: account.quota.envelopes_max,
    };
    row.encode_to_vec()
}

pub(crate) fn decode_account(number: AccountNumber, bytes: &[u8]) -> Result<Account, StoreError> {
    const DAMAGED: StoreError = StoreError::Damaged("an account's row cannot be read");
    let row = AccountRow::decode(bytes).map_err(|_| DAMAGED)?;
    let devices = row.devices.iter().map(|device| {
        Ok(Device {
            device_index: DeviceIndex(device.device_index),
            key: DeviceKey::try_from(device.key.as_slice()).map_err(|_| DAMAGED)?,
            cursor: device.cursor,
            push_number: device.push_number,
            gap: (device.gap_through > 0).then(|| Gap {
                from: device.gap_from,
                through: device.gap_through,
                reason: device.gap_reason(),
            }),
        })
    });
    Ok(Account {
        number,
        id: AccountId::try_from(row.id.as_slice()).map_err(|_| DAMAGED)?,
        head: row.head,
        chain: Chain::try_from(row.chain.as_slice()).map_err(|_| DAMAGED)?,
        stored_bytes: row.stored_bytes,
        stored_envelopes: row.stored_envelopes,
        stored_targeted: row.stored_targeted,
        membership_count: row.membership_count,
        devices: devices.collect::<Result<_, StoreError>>()?,
        quota: Quota {
            bytes_max: row.quota_bytes_max,
            envelopes_max: row.quota_envelopes_max,
        },
    })
}

/// account 8, seq 8, sender 4, recipient 4, size 4, arrived 8, push number 8, sender's key 32, chain 32
pub(crate) const HEADER_BYTES: usize = 108;

/// No device has this index: membership logs are far shorter.
const EVERYONE: u32 = u32::MAX;

/// Encodes a header, which is in front of the payload in an envelope's first row.
pub(crate) fn encode_header(header: &EnvelopeHeader) -> [u8; HEADER_BYTES] {
    let mut row = Vec::with_capacity(HEADER_BYTES);
    row.extend_from_slice(&header.account.0.to_be_bytes());
    row.extend_from_slice(&header.meta.seq.to_be_bytes());
    row.extend_from_slice(&header.meta.sender.0.to_be_bytes());
    row.extend_from_slice(&recipient_number(header.meta.recipient).to_be_bytes());
    row.extend_from_slice(&header.meta.size.to_be_bytes());
    row.extend_from_slice(&header.arrived.ms().to_be_bytes());
    row.extend_from_slice(&header.push_number.to_be_bytes());
    row.extend_from_slice(header.sender_key.as_bytes());
    row.extend_from_slice(header.chain.as_bytes());
    row.try_into().expect("the parts add up to the whole")
}

/// Decodes a header, and returns the payload behind it.
pub(crate) fn decode_header(row: &[u8]) -> Result<(EnvelopeHeader, &[u8]), StoreError> {
    let mut bytes = row;
    let header =
        parse_header(&mut bytes).ok_or(StoreError::Damaged("an envelope's row is too short"))?;
    Ok((header, bytes))
}

fn parse_header(bytes: &mut &[u8]) -> Option<EnvelopeHeader> {
    let account = AccountNumber(u64::from_be_bytes(split_array(bytes)?));
    let seq = u64::from_be_bytes(split_array(bytes)?);
    let sender = DeviceIndex(u32::from_be_bytes(split_array(bytes)?));
    let recipient = decode_recipient(u32::from_be_bytes(split_array(bytes)?));
    let size = u32::from_be_bytes(split_array(bytes)?);
    Some(EnvelopeHeader {
        account,
        meta: EnvelopeMeta {
            seq,
            sender,
            recipient,
            size,
        },
        arrived: RelayTime::from_ms(u64::from_be_bytes(split_array(bytes)?)),
        push_number: u64::from_be_bytes(split_array(bytes)?),
        sender_key: DeviceKey::new(split_array(bytes)?),
        chain: Chain::new(split_array(bytes)?),
    })
}

fn split_array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (front, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*front)
}

fn recipient_number(recipient: Recipient) -> u32 {
    match recipient {
        Recipient::Everyone => EVERYONE,
        Recipient::One(device_index) => device_index.0,
    }
}

fn decode_recipient(number: u32) -> Recipient {
    if number == EVERYONE {
        Recipient::Everyone
    } else {
        Recipient::One(DeviceIndex(number))
    }
}

/// An entry of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexEntry {
    pub(crate) arrival: u64,
    pub(crate) meta: EnvelopeMeta,
}

impl AsRef<EnvelopeMeta> for IndexEntry {
    fn as_ref(&self) -> &EnvelopeMeta {
        &self.meta
    }
}

impl IndexEntry {
    pub(crate) fn to_bytes(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(&self.arrival.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.meta.sender.0.to_be_bytes());
        bytes[12..16].copy_from_slice(&recipient_number(self.meta.recipient).to_be_bytes());
        bytes[16..].copy_from_slice(&self.meta.size.to_be_bytes());
        bytes
    }

    pub(crate) fn from_bytes(seq: u64, bytes: &[u8; 20]) -> Self {
        let mut bytes = bytes.as_slice();
        let mut parse = || {
            let arrival = u64::from_be_bytes(split_array(&mut bytes)?);
            let sender = DeviceIndex(u32::from_be_bytes(split_array(&mut bytes)?));
            let recipient = decode_recipient(u32::from_be_bytes(split_array(&mut bytes)?));
            let size = u32::from_be_bytes(split_array(&mut bytes)?);
            Some(Self {
                arrival,
                meta: EnvelopeMeta {
                    seq,
                    sender,
                    recipient,
                    size,
                },
            })
        };
        parse().expect("20 bytes hold 8, 4, 4 and 4")
    }
}

/// Returns the key of a member row. Neither half can be read from it, and members of one account are not
/// neighbours.
pub(crate) fn member_key(account: &AccountId, device: &DeviceKey) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(account.as_bytes());
    hash.update(device.as_bytes());
    hash.finalize().into()
}
