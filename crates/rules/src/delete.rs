//! Deletion requested by a device.

use std::ops::RangeInclusive;

use graceful_protocol::Refusal;

use super::{Account, DeviceIndex};

/// Returns the seqs to delete; `through` may lie beyond the head.
///
/// # Errors
/// Refuses non-members.
pub fn delete_through(
    account: &Account,
    device: DeviceIndex,
    through: u64,
) -> Result<RangeInclusive<u64>, Refusal> {
    account.device(device).ok_or_else(Refusal::not_a_member)?;
    Ok(1..=through.min(account.head))
}
