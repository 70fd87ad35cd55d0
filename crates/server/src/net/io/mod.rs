//! Streams that limit what a peer costs, and the memory that frames share.

pub(crate) mod memory_budget;
pub(crate) mod read_ahead;
pub(crate) mod throttle;
pub(crate) mod write_timeout;
