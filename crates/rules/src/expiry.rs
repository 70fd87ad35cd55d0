//! Expiry of envelopes and the gaps it leaves.

use graceful_protocol::Limits;
use graceful_protocol::wire::gap::Reason;

use super::{Account, EnvelopeMeta, Gap, RelayTime};

/// Returns whether an envelope that arrived at `arrived` has expired.
pub fn is_expired(arrived: RelayTime, now: RelayTime, limits: &Limits) -> bool {
    now.ms()
        >= arrived
            .ms()
            .saturating_add(u64::from(limits.retention_s) * 1_000)
}

/// Removes an envelope before all recipients acknowledged it and records a gap for each of them.
pub fn mark_lost(account: &mut Account, meta: &EnvelopeMeta, reason: Reason) {
    for device in &mut account.devices {
        if meta.is_for(device.device_index) && device.cursor < meta.seq {
            device.gap = Some(Gap::with(device.gap, meta.seq, reason));
        }
    }
    account.remove(meta);
}
