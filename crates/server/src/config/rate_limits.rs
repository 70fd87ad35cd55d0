//! The section `[rate_limits]`: what one address, one account and all of them together may use.

use serde::{Deserialize, Serialize};

use super::check::Check;
use super::error::Errors;
use super::units::{ByteRate, ByteSize, Percent, Period, Rate};
use crate::relay::RateLimits;
use graceful_rules::admission::ConnectionLimits;
use graceful_rules::rate::RateLimit;

/// Unauthenticated connections that even the smallest relay admits.
const UNAUTHENTICATED_MIN: usize = 64;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRateLimits {
    pub(super) unauthenticated_max: Percent,
    pub(super) handshakes_max: u32,
    pub(super) per_ip_connections_max: u32,
    pub(super) per_ip_unauthenticated_max: u32,
    pub(super) per_ip_connections: Rate,
    pub(super) per_ip_frames: Rate,
    pub(super) per_ip_bandwidth: ByteRate,
    pub(super) per_ip_new_accounts: Rate,
    pub(super) per_ip_pairings: Rate,
    pub(super) new_accounts: Rate,
    pub(super) per_account_connections_max: u32,
    pub(super) per_account_frames: Rate,
    pub(super) per_account_bandwidth: ByteRate,
    pub(super) per_account_rendezvous_max: u32,
    pub(super) rendezvous_max: u32,
}

impl Default for RawRateLimits {
    fn default() -> Self {
        let rate = |count, period| Rate(Some((count, period)));
        let mib_per_s = |mib: u64| ByteRate(Some(ByteSize(mib << 20)));
        Self {
            unauthenticated_max: Percent(25.0),
            handshakes_max: 128,
            per_ip_connections_max: 200,
            per_ip_unauthenticated_max: 50,
            per_ip_connections: rate(300, Period::Minute),
            per_ip_frames: rate(1_000, Period::Second),
            per_ip_bandwidth: mib_per_s(16),
            per_ip_new_accounts: rate(20, Period::Hour),
            per_ip_pairings: rate(60, Period::Hour),
            new_accounts: rate(500, Period::Hour),
            per_account_connections_max: 64,
            per_account_frames: rate(500, Period::Second),
            per_account_bandwidth: mib_per_s(8),
            per_account_rendezvous_max: 8,
            rendezvous_max: 1_024,
        }
    }
}

impl RawRateLimits {
    pub(super) fn ranges(&self, check: &Check<'_>, errors: &mut Errors) {
        let share = self.unauthenticated_max;
        if !(Percent(1.0)..=Percent(90.0)).contains(&share) {
            let text = format!("is {share}; it must be between 1% and 90%");
            errors.note(check.wrong("rate_limits.unauthenticated_max", &text));
        }
        for (key, count) in [
            ("rate_limits.handshakes_max", self.handshakes_max),
            (
                "rate_limits.per_ip_connections_max",
                self.per_ip_connections_max,
            ),
            (
                "rate_limits.per_ip_unauthenticated_max",
                self.per_ip_unauthenticated_max,
            ),
            (
                "rate_limits.per_account_connections_max",
                self.per_account_connections_max,
            ),
            (
                "rate_limits.per_account_rendezvous_max",
                self.per_account_rendezvous_max,
            ),
            ("rate_limits.rendezvous_max", self.rendezvous_max),
        ] {
            errors.take(check.range(key, count, 1..=1_000_000));
        }
    }

    /// Connections that may be unauthenticated, of `connections_max`.
    fn unauthenticated(&self, connections_max: usize) -> usize {
        (connections_max as f64 * self.unauthenticated_max.0 / 100.0) as usize
    }

    /// Limits on connections, before and after authentication.
    pub(super) fn connections(&self, connections_max: usize) -> ConnectionLimits {
        ConnectionLimits {
            unauthenticated_max: self
                .unauthenticated(connections_max)
                .max(UNAUTHENTICATED_MIN),
            address_unauthenticated_max: self.per_ip_unauthenticated_max as usize,
            address_connections_max: self.per_ip_connections_max as usize,
            address_attempts: limit(self.per_ip_connections),
        }
    }

    pub(super) fn address_frames(&self) -> RateLimit {
        limit(self.per_ip_frames)
    }

    pub(super) fn address_bytes(&self) -> RateLimit {
        bandwidth(self.per_ip_bandwidth)
    }

    /// Limits on accounts, registration and pairing.
    pub(super) fn accounts(&self, connections_max: usize) -> RateLimits {
        let reserved = self.unauthenticated(connections_max);
        RateLimits {
            account_connections_max: self.per_account_connections_max as usize,
            account_frames: limit(self.per_account_frames),
            account_bytes: bandwidth(self.per_account_bandwidth),
            address_new_accounts: limit(self.per_ip_new_accounts),
            accounts: limit(self.new_accounts),
            create_account_connections_max: (connections_max - reserved).max(1) as u64,
            address_joins: limit(self.per_ip_pairings),
            rendezvous_slots_max: self.rendezvous_max as usize,
            account_rendezvous_slots_max: self.per_account_rendezvous_max as usize,
        }
    }
}

/// The rules read a rate of 0 as unlimited.
fn limit(rate: Rate) -> RateLimit {
    match rate.0 {
        None => RateLimit::per_second(0),
        Some((count, Period::Second)) => RateLimit::per_second(count),
        Some((count, Period::Minute)) => RateLimit::per_minute(count),
        Some((count, Period::Hour)) => RateLimit::per_hour(count),
    }
}

fn bandwidth(rate: ByteRate) -> RateLimit {
    RateLimit::per_second(rate.0.map_or(0, |size| size.0))
}
