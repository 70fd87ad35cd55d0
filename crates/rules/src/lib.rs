//! What is decided: pushes, acks, membership, expiry, deletion, and the order of a conversation.
//!
//! Pure: an account goes in, a decision comes out. Time and chance are arguments; there is no
//! clock, no disk and no socket here, so that every engine of the store shares these rules and a
//! simulation can drive them.

mod account;
pub mod ack;
pub mod admission;
pub mod agreement;
pub mod change;
pub mod clock;
pub mod conversation;
pub mod delete;
pub mod expiry;
pub mod inspection;
pub mod latency;
pub mod likeness;
pub mod membership;
pub mod push;
mod quota;
pub mod rate;
pub mod roll;
pub mod room;
pub mod uptime;

pub use account::{Account, AccountNumber, Addressee, Device, Gap, Kept, Ordinal};
pub use clock::RelayTime;
pub use quota::Quota;
