//! The section `[accounts]`.

use serde::{Deserialize, Serialize};

use super::check::Check;
use super::error::{ConfigError, Errors};
use super::units::ByteSize;
use crate::relay::Registration;
use graceful_protocol::Limits;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAccounts {
    pub(super) registration: String,
    pub(super) devices_max: u32,
    pub(super) quota: ByteSize,
    pub(super) envelopes_max: u64,
    pub(super) membership_entries_max: u32,
}

impl Default for RawAccounts {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            registration: "invite".to_owned(),
            devices_max: limits.account_devices_max,
            quota: ByteSize(limits.account_bytes_max),
            envelopes_max: limits.account_envelopes_max,
            membership_entries_max: limits.membership_entries_max,
        }
    }
}

impl RawAccounts {
    pub(super) fn ranges(&self, check: &Check<'_>, envelope_bytes_max: u64, errors: &mut Errors) {
        // A removal wraps a secret for each remaining device, and must fit a membership entry.
        errors.take(check.range("accounts.devices_max", self.devices_max, 1..=100));
        errors.take(check.range(
            "accounts.membership_entries_max",
            self.membership_entries_max,
            u64::from(self.devices_max)..=10_000,
        ));
        errors.take(check.size("accounts.quota", self.quota, envelope_bytes_max..=1 << 40));
        errors.take(check.range(
            "accounts.envelopes_max",
            self.envelopes_max,
            1..=100_000_000,
        ));
    }

    pub(super) fn registration(&self, check: &Check<'_>) -> Result<Registration, ConfigError> {
        match self.registration.as_str() {
            "open" => Ok(Registration::Open),
            "invite" => Ok(Registration::Invite),
            "closed" => Ok(Registration::Closed),
            written => Err(check.not_one_of(
                "accounts.registration",
                written,
                &["open", "invite", "closed"],
            )),
        }
    }
}
