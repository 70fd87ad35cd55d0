//! An engine in memory: the second implementation of the seam, and the reference for tests.

mod overlay;
mod rows;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{RwLock, RwLockReadGuard};

use graceful_protocol::Limits;
use graceful_rules::audit::{AuditCounts, ScanPage, ScanRange};
use graceful_rules::command::Command;
use graceful_rules::membership::Registration;
use graceful_rules::{AccountNumber, RelayTime};

use crate::apply::{Transaction, apply_all};
use crate::{Committed, DiskUsage, Engine, Identity, Policy, RowId, Rows, StoreError, WriteTxn};
use rows::{MemoryRows, MemoryTxn, State, Written};

/// A store in memory. Nothing of it outlives the process.
pub struct MemoryStore {
    state: RwLock<State>,
    limits: Limits,
    registration: Registration,
    identity: Identity,
    /// A transaction has no row loaded until it requests the row.
    fetches: Option<AtomicU64>,
}

impl MemoryStore {
    /// Returns an empty store.
    pub fn new(limits: Limits, registration: Registration, identity: Identity) -> Self {
        Self {
            state: RwLock::default(),
            limits,
            registration,
            identity,
            fetches: None,
        }
    }

    /// Makes the store act like one whose rows are on another machine: a transaction finds no row loaded,
    /// and is applied again with each row that it named.
    #[must_use]
    pub fn with_remote_rows(mut self) -> Self {
        self.fetches = Some(AtomicU64::new(0));
        self
    }

    /// Returns how many rows were fetched because a transaction named them.
    pub fn fetch_count(&self) -> u64 {
        self.fetches
            .as_ref()
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("lock poisoned")
    }

    /// Applies the commands to the loaded rows.
    fn decide(
        &self,
        state: &State,
        fetched: Option<&BTreeSet<RowId>>,
        commands: &[Command],
        now: RelayTime,
    ) -> Result<(Committed, Option<Written>), StoreError> {
        let rows = MemoryRows::new(state, fetched);
        let txn = MemoryTxn { rows };
        let totals = txn.rows().totals()?;
        let transaction = Transaction::new(txn, self.policy(), now, totals, false);
        let (outcomes, finished) = apply_all(transaction, commands)?;
        let committed = Committed {
            outcomes,
            changed_accounts: finished.changed_accounts,
        };
        let written = finished.dirty.then(|| finished.txn.rows.into_written());
        Ok((committed, written))
    }
}

impl Engine for MemoryStore {
    type Rows<'a> = MemoryRows<'a>;

    fn read<R>(
        &self,
        read: impl FnOnce(&MemoryRows<'_>) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        read(&MemoryRows::new(&self.state(), None))
    }

    fn commit(&self, commands: &[Command], now: RelayTime) -> Result<Committed, StoreError> {
        let mut state = self.state.write().expect("lock poisoned");
        let mut fetched = BTreeSet::new();
        let (committed, written) = loop {
            let at_hand = self.fetches.as_ref().map(|_| &fetched);
            match self.decide(&state, at_hand, commands, now) {
                // The batch is pure: applied again with the row, it comes to the same decisions and gets
                // further.
                Err(StoreError::NotFetched { row }) if fetched.insert(row) => {
                    if let Some(count) = &self.fetches {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
                decided => break decided?,
            }
        };
        if let Some(written) = written {
            state.write(written);
        }
        Ok(committed)
    }

    fn policy(&self) -> Policy<'_> {
        Policy {
            limits: &self.limits,
            registration: self.registration,
        }
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    fn clock_at_open(&self) -> RelayTime {
        RelayTime::default()
    }

    fn has_low_disk_space(&self) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn disk_usage(&self) -> Result<DiskUsage, StoreError> {
        let oldest = self.read(|rows| rows.oldest()?.next().transpose())?;
        Ok(DiskUsage {
            stored_bytes: self.state().meta.totals.bytes,
            oldest: oldest.map(|(header, _)| header.arrived),
            ..DiskUsage::default()
        })
    }

    fn audit(&self, _: &ScanRange) -> Result<ScanPage, StoreError> {
        self.read(|rows| {
            let mut counts = AuditCounts::default();
            for item in rows.oldest()? {
                let (header, entry) = item?;
                let (_, sealed) = rows.envelope(header.account, &entry)?;
                counts.add_envelope(&sealed);
            }
            for account in rows.accounts(AccountNumber(0))? {
                let account = account?;
                let mut stored = (0, 0);
                for entry in rows.entries(account.number, 0..=u64::MAX)? {
                    stored.0 += 1;
                    stored.1 += entry?.as_ref().cost();
                }
                counts.accounts += 1;
                counts.miscounted +=
                    u64::from(stored != (account.stored_envelopes, account.stored_bytes));
            }
            Ok(ScanPage { counts, next: None })
        })
    }

    fn account_row_count(&self) -> Result<u64, StoreError> {
        let state = self.state();
        let rows = state.numbers.len()
            + state.members.len()
            + state.accounts.len()
            + state.membership.len()
            + state.recovery.len()
            + state.envelopes.len()
            + state.order.len();
        Ok(rows as u64)
    }
}
