//! Options of the engine.

use graceful_protocol::Limits;
use graceful_rules::membership::Registration;
use redb::{Builder, Database};

use crate::Policy;

/// The limits that the rules apply, and how much memory and disk the engine takes.
#[derive(Debug, Clone)]
pub struct Options {
    /// Limits of accounts and envelopes.
    pub limits: Limits,
    /// Who may create accounts.
    pub registration: Registration,
    /// Bytes of the page cache.
    pub cache_bytes: usize,
    /// While the disk has fewer bytes free, nothing new is stored.
    pub free_bytes_min: u64,
    /// Bytes reserved for a full disk. 0: none.
    pub ballast_bytes: u64,
    /// Bytes of a journal segment. When one is full, the journal rotates and its memtable is flushed. Memory
    /// takes about as much, at most twice.
    pub journal_bytes: u64,
    /// Bytes from which a commit of few large rows is written to the database directly: writing it twice
    /// would cost more than the journal saves in syncs.
    pub direct_write_min_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            registration: Registration::default(),
            cache_bytes: 64 * 1024 * 1024,
            free_bytes_min: 0,
            ballast_bytes: 0,
            journal_bytes: 16 * 1024 * 1024,
            direct_write_min_bytes: 512 * 1024,
        }
    }
}

impl Options {
    pub(crate) fn policy(&self) -> Policy<'_> {
        Policy {
            limits: &self.limits,
            registration: self.registration,
        }
    }

    pub(crate) fn database_builder(&self) -> Builder {
        let mut builder = Database::builder();
        builder.set_cache_size(self.cache_bytes);
        builder
    }
}
