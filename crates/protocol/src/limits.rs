//! Limits that a relay applies to its devices, with defaults.

use super::wire::Limits as WireLimits;

/// Limits announced in the greeting. Each name ends with its unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Size of a frame in either direction.
    pub frame_bytes_max: u64,
    /// Size of a sealed envelope.
    pub envelope_bytes_max: u64,
    /// Envelopes per Push.
    pub push_envelopes_max: u32,
    /// Frames that a device may send before the first is answered.
    pub in_flight_frames_max: u32,
    /// Delivered, unacknowledged bytes per device. One envelope always fits.
    pub window_bytes: u64,
    /// Maximum interval between two frames of a device, in seconds.
    pub ping_interval_s: u32,
    /// Idle time after which a connection is closed, in seconds.
    pub idle_timeout_s: u32,
    /// Retention of an envelope, in seconds of the relay's running time.
    pub retention_s: u32,
    /// Stored bytes per account.
    pub account_bytes_max: u64,
    /// Stored envelopes per account.
    pub account_envelopes_max: u64,
    /// Concurrent devices per account.
    pub account_devices_max: u32,
    /// Entries per membership log over its lifetime.
    pub membership_entries_max: u32,
    /// Longest lifetime of a rendezvous, in seconds.
    pub rendezvous_s_max: u32,
    /// Size of a rendezvous message.
    pub rendezvous_bytes_max: u32,
}

/// Seconds in a day.
const DAY_S: u32 = 24 * 60 * 60;

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes_max: 1_200 * 1024,
            envelope_bytes_max: 1_100 * 1024,
            push_envelopes_max: 1_000,
            in_flight_frames_max: 8,
            window_bytes: 4 * 1024 * 1024,
            ping_interval_s: 30,
            idle_timeout_s: 75,
            retention_s: 30 * DAY_S,
            account_bytes_max: 512 * 1024 * 1024,
            account_envelopes_max: 200_000,
            account_devices_max: 32,
            membership_entries_max: 512,
            rendezvous_s_max: 600,
            rendezvous_bytes_max: 1_000 * 1024,
        }
    }
}

/// Upper bound of `retention_s`: 30 days.
pub const RETENTION_S_MAX: u32 = 30 * DAY_S;

/// Size of a membership entry with signature: fits the wrapped secrets of a full account.
pub const ENTRY_BYTES_MAX: usize = 16 * 1024;

/// Length of a host name in a challenge (RFC 1035, section 2.3.4).
pub const HOST_BYTES_MAX: usize = 253;

/// Length of an invitation.
pub const INVITE_BYTES_MAX: usize = 64;

/// Both types have the same fields.
macro_rules! same_fields {
    ($from:expr => $into:ident) => {
        $into {
            frame_bytes_max: $from.frame_bytes_max,
            envelope_bytes_max: $from.envelope_bytes_max,
            push_envelopes_max: $from.push_envelopes_max,
            in_flight_frames_max: $from.in_flight_frames_max,
            window_bytes: $from.window_bytes,
            ping_interval_s: $from.ping_interval_s,
            idle_timeout_s: $from.idle_timeout_s,
            retention_s: $from.retention_s,
            account_bytes_max: $from.account_bytes_max,
            account_envelopes_max: $from.account_envelopes_max,
            account_devices_max: $from.account_devices_max,
            membership_entries_max: $from.membership_entries_max,
            rendezvous_s_max: $from.rendezvous_s_max,
            rendezvous_bytes_max: $from.rendezvous_bytes_max,
        }
    };
}

impl From<&Limits> for WireLimits {
    fn from(limits: &Limits) -> Self {
        same_fields!(limits => Self)
    }
}

impl From<&WireLimits> for Limits {
    fn from(limits: &WireLimits) -> Self {
        same_fields!(limits => Self)
    }
}
