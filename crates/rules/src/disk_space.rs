//! What may still be done when the disk is nearly full: everything but what takes room for good.

use graceful_protocol::wire::Envelope;
use graceful_protocol::{Code, Refusal};

use super::{Account, DeviceIndex};

/// How long a device should wait before it pushes again, in milliseconds: acks make room any moment.
const FULL_RETRY_MS: u64 = 30_000;

/// How long to wait before genesis again, in milliseconds: an operator has to act.
const CREATE_ACCOUNT_RETRY_MS: u64 = 5 * 60 * 1_000;

/// How much of the watermark must be free on the disk itself, as a divisor: what is counted as room
/// within the store's file is an estimate.
const FREE_DIVISOR: u64 = 4;

/// Bytes that the store may take for each byte kept, in percent: rows come in pages.
const OVERHEAD_PERCENT: u64 = 150;

/// Bytes of the store's file that it can use again, where so much of it lies on the disk and
/// accounts keep so much. Rather too few than too many.
pub fn reusable_bytes(file_bytes: u64, stored_bytes: u64) -> u64 {
    file_bytes.saturating_sub(stored_bytes.saturating_mul(OVERHEAD_PERCENT) / 100)
}

/// Whether nothing new may be kept. A file does not shrink at once when rows go, so what it can use
/// again counts as room, too: otherwise a relay could wait for ever with half its file empty.
pub fn is_low(free_bytes: u64, free_bytes_min: u64, reusable_bytes: u64) -> bool {
    free_bytes < free_bytes_min / FREE_DIVISOR
        || free_bytes.saturating_add(reusable_bytes) < free_bytes_min
}

/// Whether this push has to wait for room. What was kept before is answered as kept all the same.
///
/// # Errors
/// A [`Refusal`] that names the push number.
pub fn check_push(
    account: &Account,
    sender: DeviceIndex,
    pushed: &Envelope,
) -> Result<(), Refusal> {
    if account
        .device(sender)
        .is_some_and(|device| pushed.push_number <= device.push_number)
    {
        return Ok(());
    }
    let text = "the disk of this relay is nearly full; it keeps nothing new until room is made";
    let refusal = Refusal::new(Code::StorageFull, text).retry_after_ms(FULL_RETRY_MS);
    Err(refusal.push_number(pushed.push_number))
}

/// Why no account is founded for now.
pub fn refuse_create_account() -> Refusal {
    let text = "the disk of this relay is nearly full; it takes no new accounts until room is made";
    Refusal::new(Code::Overloaded, text).retry_after_ms(CREATE_ACCOUNT_RETRY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_within_the_file_counts_but_not_alone() {
        assert!(!is_low(100, 100, 0));
        assert!(is_low(99, 100, 0));
        assert!(!is_low(99, 100, 1));
        assert!(
            is_low(24, 100, 1_000_000),
            "some of the disk itself has to be free"
        );
        assert!(!is_low(0, 0, 0), "no watermark");
    }

    #[test]
    fn what_is_kept_takes_more_than_its_bytes() {
        assert_eq!(reusable_bytes(300, 100), 150);
        assert_eq!(reusable_bytes(100, 100), 0);
        assert_eq!(reusable_bytes(100, u64::MAX), 100 - 100);
    }
}
