//! What must survive a crash: one record for each thing that happened. The journal keeps them; a
//! state is the result of applying them in order.

use bytes::Bytes;
use prost::Message;

use super::sealed::Part;
use graceful_protocol::wire::SignedEntry;

/// One durable fact.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Record {
    /// Changes wait for the relay: what was pushed at once is in one record, so that it is there
    /// whole or not at all.
    #[prost(message, tag = "1")]
    Queued(Batch),
    /// The relay has every push up to this number on disk.
    #[prost(uint64, tag = "2")]
    Stored(u64),
    /// The relay was ahead of this profile: the first waiting change has this number now.
    #[prost(uint64, tag = "3")]
    Renumbered(u64),
    /// The app has applied a change, or was told of a gap.
    #[prost(message, tag = "4")]
    Applied(Applied),
    /// The relay tells this history now, and this is where reading starts in it.
    #[prost(message, tag = "5")]
    EpochStarted(EpochStart),
    /// The next entries of the membership log.
    #[prost(message, tag = "6")]
    Membership(Entries),
    /// What a device is called.
    #[prost(message, tag = "7")]
    Named(Named),
    /// The relay knows the account.
    #[prost(bool, tag = "8")]
    Welcomed(bool),
    /// Highest push number applied of a sender. Written by compaction.
    #[prost(message, tag = "9")]
    Sender(Sender),
    /// Where numbering stands. Written by compaction.
    #[prost(message, tag = "10")]
    Numbering(Numbering),
    /// The largest envelope that the relay takes, as it said last.
    #[prost(uint64, tag = "11")]
    EnvelopeBytesMax(u64),
    /// Changes up to this number may have been sent. Written before they are.
    #[prost(uint64, tag = "12")]
    Sending(u64),
    /// Everything up to a seq is done with, received or not. Written before it is acknowledged.
    #[prost(message, tag = "13")]
    Cursor(Cursor),
    /// A part of a change came, or it is known that the change will never be whole.
    #[prost(message, tag = "14")]
    Chunk(ChunkStep),
    /// The relay, or someone on the way, showed something that a person should know of.
    #[prost(message, tag = "15")]
    Alert(Alert),
    /// A person has seen the warnings so far.
    #[prost(bool, tag = "16")]
    Dismissed(bool),
    /// Behind these pushes some may be missing, and that was told.
    #[prost(message, tag = "17")]
    SenderGaps(Senders),
    /// A sender went on to a newer key epoch: nothing older is taken from it any more.
    #[prost(message, tag = "18")]
    SenderKeyEpoch(SenderKeyEpoch),
}

/// Several senders.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Senders {
    /// In any order.
    #[prost(message, repeated, tag = "1")]
    pub senders: Vec<Sender>,
}

/// Something that a person should know of.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Alert {
    /// For people.
    #[prost(string, tag = "1")]
    pub text: String,
    /// When, in seconds since 1970 by this device's clock.
    #[prost(uint64, tag = "2")]
    pub at_s: u64,
    /// Whether the relay said so itself: it was restored from a backup.
    #[prost(bool, tag = "3")]
    pub restored: bool,
}

/// What was pushed at once.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Batch {
    /// In the order of their numbers.
    #[prost(message, repeated, tag = "1")]
    pub changes: Vec<Queued>,
}

/// A change of the app, not yet sealed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Queued {
    /// Counter per device.
    #[prost(uint64, tag = "1")]
    pub push_number: u64,
    /// [`super::sealed::Kind`]
    #[prost(int32, tag = "2")]
    pub kind: i32,
    /// The app's own name for the change.
    #[prost(string, tag = "3")]
    pub transaction_id: String,
    /// The change itself.
    #[prost(bytes = "bytes", tag = "4")]
    pub content: Bytes,
    /// 32 bytes of the one device it is for, or empty.
    #[prost(bytes = "bytes", tag = "5")]
    pub recipient: Bytes,
    /// The newest earlier push that whoever reads this one should have; 0: not known.
    #[prost(uint64, tag = "6")]
    pub after: u64,
    /// Which part it is of a change that was cut.
    #[prost(message, optional, tag = "7")]
    pub part: Option<Part>,
}

/// Something received and done with.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Applied {
    /// 16 bytes: the history that `seq` belongs to.
    #[prost(bytes = "bytes", tag = "1")]
    pub store_epoch: Bytes,
    /// Everything up to here is done with.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// 32 bytes, or empty for a gap.
    #[prost(bytes = "bytes", tag = "3")]
    pub sender: Bytes,
    /// The sender's number for it.
    #[prost(uint64, tag = "4")]
    pub push_number: u64,
    /// 32 bytes: the log's running hash at `seq`, or empty.
    #[prost(bytes = "bytes", tag = "5")]
    pub chain: Bytes,
}

/// A relay's history.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct EpochStart {
    /// 16 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub store_epoch: Bytes,
    /// Everything up to here is done with.
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
    /// For people.
    #[prost(string, tag = "2")]
    pub name: String,
}

/// How far a sender's changes have come.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Sender {
    /// 32 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub device: Bytes,
    /// Highest push number.
    #[prost(uint64, tag = "2")]
    pub push_number: u64,
}

/// From which push on a sender seals in a newer key epoch.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SenderKeyEpoch {
    /// 32 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub device: Bytes,
    /// The first push seen in it.
    #[prost(uint64, tag = "2")]
    pub push_number: u64,
    /// The key epoch.
    #[prost(uint32, tag = "3")]
    pub key_epoch: u32,
}

/// This device's own push numbers.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Numbering {
    /// The relay has everything up to here.
    #[prost(uint64, tag = "1")]
    pub stored: u64,
    /// The next change gets this one.
    #[prost(uint64, tag = "2")]
    pub next: u64,
    /// Those up to here may have been sent.
    #[prost(uint64, tag = "3")]
    pub sending: u64,
    /// The newest that is for every device; 0: not known.
    #[prost(uint64, tag = "4")]
    pub shared: u64,
    /// The relay has everything up to here in the history that it tells now.
    #[prost(uint64, tag = "5")]
    pub confirmed: u64,
}

/// How far this device is done with the relay's history.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Cursor {
    /// Everything up to here.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    /// Own pushes up to this number have their places there.
    #[prost(uint64, tag = "2")]
    pub own: u64,
}

/// What became of a change that comes in parts.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChunkStep {
    /// One step.
    #[prost(oneof = "ChunkRecord", tags = "1, 2")]
    pub step: Option<ChunkRecord>,
}

/// One step of a change that comes in parts.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum ChunkRecord {
    /// A part, the last one excepted: with it the change goes to the app.
    #[prost(message, tag = "1")]
    Received(Chunk),
    /// The others are missing for good.
    #[prost(message, tag = "2")]
    Unfinished(Unfinished),
}

/// One part of a change of another device.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Chunk {
    /// 32 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub sender: Bytes,
    /// The sender's number for it.
    #[prost(uint64, tag = "2")]
    pub push_number: u64,
    /// Its place in the log.
    #[prost(uint64, tag = "3")]
    pub seq: u64,
    /// Which part it is.
    #[prost(message, optional, tag = "4")]
    pub part: Option<Part>,
    /// The part itself.
    #[prost(bytes = "bytes", tag = "5")]
    pub content: Bytes,
}

/// A change that will never be whole.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Unfinished {
    /// 32 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub sender: Bytes,
    /// What its parts have in common.
    #[prost(bytes = "bytes", tag = "2")]
    pub group: Bytes,
    /// The sender's number for the newest part that came.
    #[prost(uint64, tag = "3")]
    pub through: u64,
    /// The number that the last part has.
    #[prost(uint64, tag = "4")]
    pub last: u64,
    /// Seq of the first part that came.
    #[prost(uint64, tag = "5")]
    pub from_seq: u64,
    /// Seq of the newest one.
    #[prost(uint64, tag = "6")]
    pub through_seq: u64,
    /// Whether the app has heard of it: nothing more is to be known of this change.
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
    /// Its bytes in the journal.
    pub fn to_bytes(&self) -> Vec<u8> {
        Envelope {
            record: Some(self.clone()),
        }
        .encode_to_vec()
    }

    /// A record read back; `None` if a newer version wrote it, or nobody did.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Envelope::decode(bytes).ok()?.record
    }
}
