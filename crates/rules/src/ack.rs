//! Acknowledgement: moves a cursor and finds envelopes that nobody needs any more.

use std::ops::RangeInclusive;

use graceful_protocol::{Code, Refusal};

use super::{Account, DeviceIndex};

/// Moves a device's cursor and returns the seqs to check with [`Account::needs`].
///
/// # Errors
/// Refuses non-members and acks beyond the head.
pub fn ack(
    account: &mut Account,
    device: DeviceIndex,
    through: u64,
) -> Result<RangeInclusive<u64>, Refusal> {
    let head = account.head;
    let acker = account
        .device_mut(device)
        .ok_or_else(Refusal::not_a_member)?;
    if through > head {
        let text = format!("acknowledged {through}, but this account's newest envelope is {head}");
        return Err(Refusal::new(Code::AckBeyondHead, text).expected(head));
    }
    let before = acker.cursor;
    if through <= before {
        return Ok(EMPTY);
    }
    acker.cursor = through;
    acker.gap = acker.gap.and_then(|gap| gap.after(through));
    Ok(before + 1..=through.min(unneeded_through(account)))
}

/// An empty range of seqs.
#[allow(clippy::reversed_empty_ranges)]
pub const EMPTY: RangeInclusive<u64> = 1..=0;

/// Returns the highest seq that may be unneeded.
///
/// An envelope for everyone needs acks from all but its sender, so at most one member may be behind
/// it and the second lowest cursor is the bound. With targeted envelopes stored, any seq may be
/// unneeded.
fn unneeded_through(account: &Account) -> u64 {
    if account.stored_targeted > 0 {
        return account.head;
    }
    let mut lowest = u64::MAX;
    let mut second = u64::MAX;
    for device in &account.devices {
        if device.cursor < lowest {
            second = lowest;
            lowest = device.cursor;
        } else {
            second = second.min(device.cursor);
        }
    }
    if account.devices.len() == 1 {
        lowest
    } else {
        second
    }
}
