//! Totals over all accounts, kept in each commit instead of counted.

use graceful_rules::Account;

/// What the store holds in all accounts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Accounts.
    pub accounts: u64,
    /// Envelopes of all accounts.
    pub envelopes: u64,
    /// Bytes of all accounts, as counted against their quotas.
    pub bytes: u64,
}

impl Totals {
    /// Returns the share of one account.
    pub(crate) fn of(account: &Account) -> Self {
        Self {
            accounts: 1,
            envelopes: account.stored_envelopes,
            bytes: account.stored_bytes,
        }
    }

    /// Replaces an account's earlier share by its present one.
    pub(crate) fn replace(&mut self, before: &Self, after: &Self) {
        self.accounts = self.accounts + after.accounts - before.accounts;
        self.envelopes = self.envelopes + after.envelopes - before.envelopes;
        self.bytes = self.bytes + after.bytes - before.bytes;
    }
}
