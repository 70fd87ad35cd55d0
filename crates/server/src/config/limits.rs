//! The section `[limits]`: frames, timeouts and connections.

use serde::{Deserialize, Serialize};

use super::accounts::RawAccounts;
use super::check::Check;
use super::error::Errors;
use super::storage::RawStorage;
use super::units::{ByteSize, HumanDuration};
use graceful_protocol::Limits;
use graceful_protocol::envelope;

/// Bytes of a frame around a single envelope: names, numbers, hashes.
const FRAME_OVERHEAD_BYTES: u64 = 1024;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLimits {
    pub(super) connections_max: u32,
    pub(super) frame_size_max: ByteSize,
    pub(super) frame_buffer: ByteSize,
    pub(super) envelope_size_max: ByteSize,
    pub(super) push_envelopes_max: u32,
    pub(super) in_flight_frames_max: u32,
    pub(super) delivery_window: ByteSize,
    pub(super) rendezvous_size_max: ByteSize,
    pub(super) rendezvous_timeout: HumanDuration,
    pub(super) ping_interval: HumanDuration,
    pub(super) idle_timeout: HumanDuration,
    pub(super) handshake_timeout: HumanDuration,
    pub(super) header_timeout: HumanDuration,
    pub(super) body_timeout: HumanDuration,
    pub(super) auth_timeout: HumanDuration,
    pub(super) write_timeout: HumanDuration,
    pub(super) close_timeout: HumanDuration,
}

impl Default for RawLimits {
    fn default() -> Self {
        let limits = Limits::default();
        let seconds = |seconds: u32| HumanDuration::from_secs(seconds.into());
        Self {
            connections_max: 2_000,
            frame_size_max: ByteSize(limits.frame_bytes_max),
            frame_buffer: ByteSize(128 << 20),
            envelope_size_max: ByteSize(limits.envelope_bytes_max),
            push_envelopes_max: limits.push_envelopes_max,
            in_flight_frames_max: limits.in_flight_frames_max,
            delivery_window: ByteSize(limits.window_bytes),
            rendezvous_size_max: ByteSize(limits.rendezvous_bytes_max.into()),
            rendezvous_timeout: seconds(limits.rendezvous_s_max),
            ping_interval: seconds(limits.ping_interval_s),
            idle_timeout: seconds(limits.idle_timeout_s),
            handshake_timeout: seconds(10),
            header_timeout: seconds(10),
            body_timeout: seconds(60),
            auth_timeout: seconds(10),
            write_timeout: seconds(30),
            close_timeout: seconds(5),
        }
    }
}

impl RawLimits {
    pub(super) fn ranges(&self, check: &Check<'_>, errors: &mut Errors) {
        errors.take(check.range(
            "limits.connections_max",
            self.connections_max,
            1..=1_000_000,
        ));
        check.timeouts(
            errors,
            &[
                ("limits.handshake_timeout", self.handshake_timeout),
                ("limits.header_timeout", self.header_timeout),
                ("limits.body_timeout", self.body_timeout),
                ("limits.auth_timeout", self.auth_timeout),
                ("limits.write_timeout", self.write_timeout),
                ("limits.close_timeout", self.close_timeout),
            ],
        );
        self.frames(check, errors);
        errors.take(check.duration("limits.ping_interval", self.ping_interval, 5..=3_600));
        // One lost ping must not end a session.
        let idle_min_s = u64::from(self.ping_interval.seconds()) * 2;
        errors.take(check.duration(
            "limits.idle_timeout",
            self.idle_timeout,
            idle_min_s..=86_400,
        ));
        errors.take(check.duration(
            "limits.rendezvous_timeout",
            self.rendezvous_timeout,
            60..=3_600,
        ));
    }

    fn frames(&self, check: &Check<'_>, errors: &mut Errors) {
        let smallest = envelope::SIZE_MIN as u64;
        errors.take(check.size(
            "limits.envelope_size_max",
            self.envelope_size_max,
            smallest..=15 << 20,
        ));
        errors.take(check.size(
            "limits.rendezvous_size_max",
            self.rendezvous_size_max,
            4_096..=15 << 20,
        ));
        let largest = self.envelope_size_max.max(self.rendezvous_size_max).0;
        let frame = (largest + FRAME_OVERHEAD_BYTES).max(64 * 1024)..=16 << 20;
        errors.take(check.size("limits.frame_size_max", self.frame_size_max, frame));
        // Unauthenticated connections have a quarter of it, which must hold one frame.
        let buffer = self.frame_size_max.0.saturating_mul(4)..=64 << 30;
        errors.take(check.size("limits.frame_buffer", self.frame_buffer, buffer));
        // A frame has at most 20,000 elements of any kind.
        errors.take(check.range(
            "limits.push_envelopes_max",
            self.push_envelopes_max,
            1..=10_000,
        ));
        errors.take(check.range(
            "limits.in_flight_frames_max",
            self.in_flight_frames_max,
            1..=1_024,
        ));
        errors.take(check.size(
            "limits.delivery_window",
            self.delivery_window,
            64 * 1024..=1 << 30,
        ));
    }

    /// The limits in the greeting, including those of an account.
    pub(super) fn protocol(&self, accounts: &RawAccounts, storage: &RawStorage) -> Limits {
        Limits {
            frame_bytes_max: self.frame_size_max.0,
            envelope_bytes_max: self.envelope_size_max.0,
            push_envelopes_max: self.push_envelopes_max,
            in_flight_frames_max: self.in_flight_frames_max,
            window_bytes: self.delivery_window.0,
            ping_interval_s: self.ping_interval.seconds(),
            idle_timeout_s: self.idle_timeout.seconds(),
            retention_s: storage.retention.seconds(),
            account_bytes_max: accounts.quota.0,
            account_envelopes_max: accounts.envelopes_max,
            account_devices_max: accounts.devices_max,
            membership_entries_max: accounts.membership_entries_max,
            rendezvous_s_max: self.rendezvous_timeout.seconds(),
            rendezvous_bytes_max: u32::try_from(self.rendezvous_size_max.0).unwrap_or(u32::MAX),
        }
    }
}
