//! What an acknowledgement moves, and what nobody needs after it.

use std::ops::RangeInclusive;

use graceful_protocol::{Code, Refusal};

use super::{Account, DeviceIndex};

/// Moves a device's cursor. Returns the seqs among which rows may have become unneeded: each is to
/// be judged by [`Account::needs`].
///
/// # Errors
/// Not a member, or an ack for more than there is.
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

/// The highest seq that can be unneeded. An envelope for everyone waits for all but its sender, so
/// at most one member may be behind it: the second lowest cursor is the bound. With envelopes for
/// single devices about, any may be unneeded.
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
