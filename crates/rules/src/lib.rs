//! What is decided: pushes, acks, membership, expiry, deletion, and the order of a session.
//!
//! Pure: an account goes in, a decision comes out. Time and chance are arguments; there is no
//! clock, no disk and no socket here, so that every engine of the store shares these rules and a
//! simulation can drive them.

mod account;
pub mod account_list;
pub mod ack;
pub mod admission;
pub mod audit;
pub mod clock;
pub mod command;
pub mod delete;
pub mod disk_space;
pub mod expiry;
pub mod latency;
pub mod membership;
pub mod push;
mod quota;
pub mod randomness;
pub mod rate;
pub mod session;
pub mod sla;
pub mod uptime;

pub use account::{Account, AccountNumber, Device, DeviceIndex, EnvelopeMeta, Gap, Recipient};
pub use clock::RelayTime;
pub use quota::Quota;
