//! Low disk space: nothing new is stored, everything else continues.

use graceful_protocol::wire::Envelope;
use graceful_protocol::{Code, Refusal};

use super::{Account, DeviceIndex};

/// Retry delay of a push in milliseconds; acks may free space at any time.
const FULL_RETRY_MS: u64 = 30_000;

/// Retry delay of an account creation in milliseconds; an operator has to act.
const CREATE_ACCOUNT_RETRY_MS: u64 = 5 * 60 * 1_000;

/// Divisor of the watermark that must be free on the disk itself: reusable space in the store's
/// file is an estimate.
const FREE_DIVISOR: u64 = 4;

/// Store size for each stored byte in percent: rows are kept in pages.
const OVERHEAD_PERCENT: u64 = 150;

/// Estimates how many bytes of the store's file it can reuse. Errs on the low side.
pub fn reusable_bytes(file_bytes: u64, stored_bytes: u64) -> u64 {
    file_bytes.saturating_sub(stored_bytes.saturating_mul(OVERHEAD_PERCENT) / 100)
}

/// Returns whether disk space is low.
///
/// The store's file does not shrink when rows are deleted. Its reusable bytes count as free,
/// otherwise the relay could refuse pushes with half its file empty.
pub fn is_low(free_bytes: u64, free_bytes_min: u64, reusable_bytes: u64) -> bool {
    free_bytes < free_bytes_min / FREE_DIVISOR
        || free_bytes.saturating_add(reusable_bytes) < free_bytes_min
}

/// Refuses a push while disk space is low. Duplicates are still confirmed.
///
/// # Errors
/// A [`Refusal`] with the push number.
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
    let text = "disk space on the relay is low; it stores nothing new until space is freed";
    let refusal = Refusal::new(Code::StorageFull, text).retry_after_ms(FULL_RETRY_MS);
    Err(refusal.push_number(pushed.push_number))
}

/// Returns the refusal of an account creation.
pub fn refuse_create_account() -> Refusal {
    let text = "disk space on the relay is low; it accepts no new accounts until space is freed";
    Refusal::new(Code::Overloaded, text).retry_after_ms(CREATE_ACCOUNT_RETRY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reusable_file_space_counts_partly() {
        assert!(!is_low(100, 100, 0));
        assert!(is_low(99, 100, 0));
        assert!(!is_low(99, 100, 1));
        assert!(
            is_low(24, 100, 1_000_000),
            "part of the disk itself must be free"
        );
        assert!(!is_low(0, 0, 0), "no watermark");
    }

    #[test]
    fn reusable_bytes_allow_for_page_overhead() {
        assert_eq!(reusable_bytes(300, 100), 150);
        assert_eq!(reusable_bytes(100, 100), 0);
        assert_eq!(reusable_bytes(100, u64::MAX), 100 - 100);
    }
}
