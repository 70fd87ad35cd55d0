//! The limits that the rules inside a transaction apply.

use graceful_protocol::Limits;
use graceful_rules::membership::Registration;

/// Limits and registration mode of the relay.
#[derive(Debug, Clone, Copy)]
pub struct Policy<'a> {
    /// Limits of accounts and envelopes.
    pub limits: &'a Limits,
    /// Who may create accounts.
    pub registration: Registration,
}
