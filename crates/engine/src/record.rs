//! Journal records: one for each durable fact. The state is the result of applying them in order.

use bytes::Bytes;
use prost::Message;

use crate::sealed::Part;
use graceful_protocol::wire::SignedEntry;

/// A durable fact.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Record {
    /// Changes were queued. A batch is one record, so that it is durable whole or not at all.
    #[prost(message, tag = "1")]
    Queued(Batch),
    /// The relay stored every push through this number.
    #[prost(uint64, tag = "2")]
    Stored(u64),
    /// The relay was ahead of this profile: the first queued change now has this number.
    #[prost(uint64, tag = "3")]
    Renumbered(u64),
    /// The app applied a change or a gap.
    #[prost(message, tag = "4")]
    Applied(Applied),
    /// The relay has this store epoch, and reading starts here.
    #[prost(message, tag = "5")]
    EpochStarted(EpochStart),
    /// The next entries of the membership log.
    #[prost(message, tag = "6")]
    Membership(Entries),
    /// A device's name.
    #[prost(message, tag = "7")]
    Named(Named),
    /// The relay has accepted the account.
    #[prost(bool, tag = "8")]
    Welcomed(bool),
    /// The highest applied push number of a sender. Written by compaction.
    #[prost(message, tag = "9")]
    Sender(Sender),
    /// The push numbering. Written by compaction.
    #[prost(message, tag = "10")]
    Numbering(Numbering),
    /// The relay's last known envelope limit.
    #[prost(uint64, tag = "11")]
    EnvelopeBytesMax(u64),
    /// Changes through this number may have been sent. Written before sending.
    #[prost(uint64, tag = "12")]
    Sending(u64),
    /// Everything through a seq is done. Written before it is acknowledged.
    #[prost(message, tag = "13")]
    Cursor(Cursor),
    /// A chunk arrived, or its change will never complete.
    #[prost(message, tag = "14")]
    Chunk(ChunkStep),
    /// An alert was raised.
    #[prost(message, tag = "15")]
    Alert(Alert),
    /// All alerts so far were dismissed.
    #[prost(bool, tag = "16")]
    Dismissed(bool),
    /// Gaps after these pushes were reported.
    #[prost(message, tag = "17")]
    SenderGaps(Senders),
    /// A sender moved to a newer key epoch. Older epochs are rejected from it.
    #[prost(message, tag = "18")]
    SenderKeyEpoch(SenderKeyEpoch),
}

/// A list of senders.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Senders {
    /// In any order.
    #[prost(message, repeated, tag = "1")]
    pub senders: Vec<Sender>,
}

/// An alert for a person.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Alert {
    /// Human-readable message.
    #[prost(string, tag = "1")]
    pub message: String,
    /// Seconds since 1970, by this device's clock.
    #[prost(uint64, tag = "2")]
    pub at_s: u64,
    /// Whether the relay announced a restore.
    #[prost(bool, tag = "3")]
    pub restored: bool,
}

/// Changes pushed together.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Batch {
    /// In push order.
    #[prost(message, repeated, tag = "1")]
    pub changes: Vec<Queued>,
}

/// A queued change, not yet sealed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Queued {
    /// This device's push number.
    #[prost(uint64, tag = "1")]
    pub push_number: u64,
    /// A [`super::sealed::Kind`].
    #[prost(int32, tag = "2")]
    pub kind: i32,
    /// The app's identifier of the change.
    #[prost(string, tag = "3")]
    pub transaction_id: String,
    /// The payload.
    #[prost(bytes = "bytes", tag = "4")]
    pub content: Bytes,
    /// 32 bytes of the only recipient, or empty.
    #[prost(bytes = "bytes", tag = "5")]
    pub recipient: Bytes,
    /// The newest earlier push that every receiver should have; 0 if unknown.
    #[prost(uint64, tag = "6")]
    pub after: u64,
    /// Chunk position, if the change was split.
    #[prost(message, optional, tag = "7")]
    pub part: Option<Part>,
}

/// A change or gap that is done.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Applied {
    /// 16 bytes: the store epoch of `seq`.
    #[prost(bytes = "bytes", tag = "1")]
    pub store_epoch: Bytes,
    /// Everything through here is done.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// 32 bytes, or empty for a gap.
    #[prost(bytes = "bytes", tag = "3")]
    pub sender: Bytes,
    /// The sender's push number.
    #[prost(uint64, tag = "4")]
    pub push_number: u64,
    /// 32 bytes: the running hash at `seq`, or empty.
    #[prost(bytes = "bytes", tag = "5")]
    pub chain: Bytes,
}

/// The start of a store epoch.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct EpochStart {
    /// 16 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub store_epoch: Bytes,
    /// Everything through here is done.
    #[prost(uint64, tag = "2")]
    pub cursor: u64,
    /// 32 bytes: the running hash there, or empty.
    #[prost(bytes = "bytes", tag = "3")]
    pub chain: Bytes,
}

/// Membership entries, byte for byte.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Entries {
    /// In order.
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<SignedEntry>,
}

/// A device's name.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Named {
    /// 32 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub device: Bytes,
    /// Human-readable name.
    #[prost(string, tag = "2")]
    pub name: String,
}

/// The progress of a sender.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Sender {
    /// 32 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub device: Bytes,
    /// Highest push number.
    #[prost(uint64, tag = "2")]
    pub push_number: u64,
}

/// The push at which a sender moved to a key epoch.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SenderKeyEpoch {
    /// 32 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub device: Bytes,
    /// First push seen in it.
    #[prost(uint64, tag = "2")]
    pub push_number: u64,
    /// The key epoch.
    #[prost(uint32, tag = "3")]
    pub key_epoch: u32,
}

/// This device's push numbering.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Numbering {
    /// The relay has everything through here.
    #[prost(uint64, tag = "1")]
    pub stored: u64,
    /// Push number of the next change.
    #[prost(uint64, tag = "2")]
    pub next: u64,
    /// Changes through here may have been sent.
    #[prost(uint64, tag = "3")]
    pub sending: u64,
    /// The newest push for every device; 0 if unknown.
    #[prost(uint64, tag = "4")]
    pub shared: u64,
    /// The relay has everything through here in the current store epoch.
    #[prost(uint64, tag = "5")]
    pub confirmed: u64,
}

/// The read position in the relay's log.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Cursor {
    /// Everything through here is done.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    /// Own pushes through this number are at or before `seq`.
    #[prost(uint64, tag = "2")]
    pub own: u64,
}

/// A step in the reassembly of a change.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChunkStep {
    /// The step.
    #[prost(oneof = "ChunkRecord", tags = "1, 2")]
    pub step: Option<ChunkRecord>,
}

/// A step in the reassembly of a change.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum ChunkRecord {
    /// A chunk arrived. The last one is not recorded: it completes the change.
    #[prost(message, tag = "1")]
    Received(Chunk),
    /// The change will never complete.
    #[prost(message, tag = "2")]
    Unfinished(Unfinished),
}

/// One chunk of another device's change.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Chunk {
    /// 32 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub sender: Bytes,
    /// The sender's push number.
    #[prost(uint64, tag = "2")]
    pub push_number: u64,
    /// Its seq.
    #[prost(uint64, tag = "3")]
    pub seq: u64,
    /// Its position in the change.
    #[prost(message, optional, tag = "4")]
    pub part: Option<Part>,
    /// The chunk's bytes.
    #[prost(bytes = "bytes", tag = "5")]
    pub content: Bytes,
}

/// A change that will never complete.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Unfinished {
    /// 32 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub sender: Bytes,
    /// The chunk group's id.
    #[prost(bytes = "bytes", tag = "2")]
    pub group: Bytes,
    /// Push number of the newest chunk received.
    #[prost(uint64, tag = "3")]
    pub through: u64,
    /// Push number of the last chunk.
    #[prost(uint64, tag = "4")]
    pub last: u64,
    /// Seq of the first chunk received.
    #[prost(uint64, tag = "5")]
    pub from_seq: u64,
    /// Seq of the newest chunk received.
    #[prost(uint64, tag = "6")]
    pub through_seq: u64,
    /// Whether the app acknowledged the gap.
    #[prost(bool, tag = "7")]
    pub reported: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Envelope {
    #[prost(
        oneof = "Record",
        tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18"
    )]
    record: Option<Record>,
}

impl Record {
    /// Encodes the record for the journal.
    pub fn to_bytes(&self) -> Vec<u8> {
        Envelope {
            record: Some(self.clone()),
        }
        .encode_to_vec()
    }

    /// Decodes a record. Returns `None` if it is unknown or malformed.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Envelope::decode(bytes).ok()?.record
    }
}
