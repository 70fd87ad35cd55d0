//! When an envelope's time is over, and who has to be told.

use graceful_protocol::Limits;
use graceful_protocol::wire::gap::Reason;

use super::{Account, EnvelopeMeta, Gap, RelayTime};

/// Whether an envelope that arrived then is over now.
pub fn is_expired(arrived: RelayTime, now: RelayTime, limits: &Limits) -> bool {
    now.ms()
        >= arrived
            .ms()
            .saturating_add(u64::from(limits.retention_s) * 1_000)
}

/// Takes an envelope out of the account before everyone had it: each device that still awaited it
/// will be told.
pub fn mark_lost(account: &mut Account, meta: &EnvelopeMeta, reason: Reason) {
    for device in &mut account.devices {
        if meta.is_for(device.device_index) && device.cursor < meta.seq {
            device.gap = Some(Gap::with(device.gap, meta.seq, reason));
        }
    }
    account.remove(meta);
}
