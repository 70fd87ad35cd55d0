//! Pure decisions of the relay: push, ack, membership, expiry, deletion and the session machine.
//!
//! No clock, disk or socket: time and randomness are arguments. Every storage engine and the
//! simulation share these rules.

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
