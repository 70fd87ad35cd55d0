//! What may still be done when the disk is nearly full: everything but what takes room for good.

use crate::protocol::wire::Envelope;
use crate::protocol::{Code, Refusal};

use super::{Account, Ordinal};

/// How long a device should wait before it pushes again, in milliseconds: acks make room any moment.
const FULL_RETRY_MS: u64 = 30_000;

/// How long to wait before founding again, in milliseconds: an operator has to act.
const FOUND_RETRY_MS: u64 = 5 * 60 * 1_000;

/// Whether this push has to wait for room. What was kept before is answered as kept all the same.
///
/// # Errors
/// A [`Refusal`] that names the push number.
pub fn check_push(account: &Account, sender: Ordinal, pushed: &Envelope) -> Result<(), Refusal> {
    if account.device(sender).is_some_and(|device| pushed.push_number <= device.push_number) {
        return Ok(());
    }
    let text = "the disk of this relay is nearly full; it keeps nothing new until room is made";
    let refusal = Refusal::new(Code::RelayFull, text).retry_after_ms(FULL_RETRY_MS);
    Err(refusal.push_number(pushed.push_number))
}

/// Why no account is founded for now.
pub fn refuse_founding() -> Refusal {
    let text = "the disk of this relay is nearly full; it takes no new accounts until room is made";
    Refusal::new(Code::Overloaded, text).retry_after_ms(FOUND_RETRY_MS)
}
