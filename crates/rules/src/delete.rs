//! Deletion that a device asks for.

use std::ops::RangeInclusive;

use graceful_protocol::Refusal;

use super::{Account, DeviceIndex};

/// The seqs to delete: everything up to `through`, which may lie beyond the newest.
///
/// # Errors
/// Not a member.
pub fn delete_through(
    account: &Account,
    device: DeviceIndex,
    through: u64,
) -> Result<RangeInclusive<u64>, Refusal> {
    account.device(device).ok_or_else(Refusal::not_a_member)?;
    Ok(1..=through.min(account.head))
}
