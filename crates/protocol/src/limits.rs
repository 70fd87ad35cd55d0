//! Every limit a relay holds its devices to, with its default.

use super::wire::Limits as WireLimits;

/// Told to each device in the greeting. A name ends with its unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one frame, either way.
    pub frame_bytes_max: u64,
    /// Bytes of one sealed envelope.
    pub envelope_bytes_max: u64,
    /// Envelopes in one Push.
    pub push_envelopes_max: u32,
    /// Frames a device may send before the first of them is answered.
    pub in_flight_frames_max: u32,
    /// Bytes delivered to a device and not yet acknowledged. One envelope always fits.
    pub window_bytes: u64,
    /// A device sends Ping at least this often, in seconds.
    pub ping_interval_s: u32,
    /// A connection silent for longer is closed, in seconds.
    pub idle_timeout_s: u32,
    /// How long an envelope is kept at most, in seconds of the relay's running time.
    pub retention_s: u32,
    /// Bytes of envelopes kept for one account.
    pub account_bytes_max: u64,
    /// Envelopes kept for one account.
    pub account_envelopes_max: u64,
    /// Devices in one account at a time.
    pub account_devices_max: u32,
    /// Entries in one membership log, ever.
    pub membership_entries_max: u32,
    /// How long a rendezvous slot lives at most, in seconds.
    pub rendezvous_s_max: u32,
    /// Bytes of one message through a rendezvous slot.
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

/// The longest an operator may choose for `retention_s`: 30 days.
pub const RETENTION_S_MAX: u32 = 30 * DAY_S;

/// Bytes of one membership entry, body and signature: room for the wrapped secrets of a full account.
pub const ENTRY_BYTES_MAX: usize = 16 * 1024;

/// Bytes of a host name in a challenge (RFC 1035, section 2.3.4).
pub const HOST_BYTES_MAX: usize = 253;

/// Bytes of an invitation as it is typed.
pub const INVITE_BYTES_MAX: usize = 64;

/// The two forms have the same fields.
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
