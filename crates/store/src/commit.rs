//! One transaction for all changes that wait: each is decided by the rules on what the ones before
//! it left, and none is answered before all are on disk.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

use graceful_protocol::Refusal;
use graceful_rules::command::{Command, Outcome};
use graceful_rules::{Account, AccountNumber, RelayTime};

use super::at_rest::DayKey;
use super::day_keys::DayKeys;
use super::journal::Journal;
use super::memtable::Memtable;
use super::open::Options;
use super::read::Totals;
use super::snapshot::Snapshot;
use super::tables::{Tables, meta};
use super::{Store, StoreError};

/// What came of a commit.
#[derive(Debug, Default)]
pub struct Committed {
    /// One for each change, in order.
    pub outcomes: Vec<Outcome>,
    /// The accounts whose sessions should look.
    pub changed_accounts: Vec<AccountChange>,
}

/// An account that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountChange {
    /// Which.
    pub account: AccountNumber,
    /// Its newest seq.
    pub head: u64,
    /// Entries in its membership log.
    pub membership_count: u64,
    /// Whether there is more to see: a loss, a removal, the end.
    pub needs_refetch: bool,
}

/// An account as this transaction has it so far.
pub(super) struct CachedAccount {
    pub(super) account: Account,
    pub(super) dirty: bool,
    /// Sessions have to look even where head and membership stayed.
    pub(super) needs_refetch: bool,
    head_before: u64,
    membership_before: u64,
    /// What it added to the totals before.
    counted: Totals,
}

/// A transaction in progress.
pub(super) struct Transaction<'txn> {
    pub(super) tables: Tables<'txn>,
    pub(super) options: &'txn Options,
    pub(super) now: RelayTime,
    /// The disk is nearly full: nothing new is kept.
    pub(super) low_disk_space: bool,
    pub(super) dirty: bool,
    pub(super) changed_accounts: Vec<AccountChange>,
    accounts: HashMap<AccountNumber, CachedAccount>,
    pub(super) keys: &'txn DayKeys,
    current_day_key: Option<Arc<DayKey>>,
    next_arrival: Sequence,
    next_account: Sequence,
    totals: Totals,
}

/// What a commit changes.
pub(super) struct WriteSet {
    pub(super) rows: Memtable,
    /// Bytes of payload that the store has with it.
    pub(super) stored_bytes: u64,
}

/// A number that is never used twice.
struct Sequence {
    next: u64,
    used: bool,
}

impl Sequence {
    fn next(&mut self) -> u64 {
        self.used = true;
        self.next += 1;
        self.next - 1
    }
}

impl Store {
    /// Makes these changes, in order, at this moment of the relay's own time. When it returns they
    /// are on disk; outcomes may be told to devices from then on and not before.
    ///
    /// # Errors
    /// [`StoreError`]: nobody knows what is on the disk, and the process has to end.
    pub fn commit(&self, changes: Vec<Command>, now: RelayTime) -> Result<Committed, StoreError> {
        let mut journal = self.journal();
        if self.poisoned.load(Ordering::Relaxed) {
            return Err(StoreError::Damaged(
                "an earlier commit failed, and nobody knows what is on the disk",
            ));
        }
        let committed = self.decide(changes, now).and_then(|(committed, changed)| {
            if let Some(changed) = changed {
                self.persist(&mut journal, changed)?;
            }
            Ok(committed)
        });
        committed.inspect_err(|_| self.poisoned.store(true, Ordering::Relaxed))
    }

    /// What comes of these changes, and the rows that they change, if any.
    fn decide(
        &self,
        changes: Vec<Command>,
        now: RelayTime,
    ) -> Result<(Committed, Option<WriteSet>), StoreError> {
        let snapshot = self.snapshot()?;
        let mut transaction = Transaction::begin(&snapshot, self, now)?;
        let mut committed = Committed::default();
        for change in changes {
            committed.outcomes.push(transaction.apply(change)?);
        }
        let changed = transaction.finish(&mut committed.changed_accounts)?;
        Ok((committed, changed))
    }

    /// Puts rows on the disk, and from then on before whoever reads.
    fn persist(&self, journal: &mut Journal, changed: WriteSet) -> Result<(), StoreError> {
        if self.bypasses_journal(&changed) {
            return self.write_direct(journal, &changed.rows);
        }
        journal.append(&changed.rows)?;
        let in_memory = {
            let mut memtables = self.memtables.write().expect("nobody panics holding it");
            memtables.active.merge_newer(changed.rows);
            memtables.active.bytes()
        };
        if journal.bytes().max(in_memory) as u64 >= self.options.journal_bytes {
            // Mostly flushed long since, by another thread.
            self.flush()?;
            self.seal_memtable(journal);
        }
        Ok(())
    }

    /// The journal, and with it the right to change anything.
    pub(super) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().expect("nobody panics holding it")
    }
}

impl<'txn> Transaction<'txn> {
    fn begin(
        snapshot: &'txn Snapshot<'_>,
        store: &'txn Store,
        now: RelayTime,
    ) -> Result<Self, StoreError> {
        let counter = |name| {
            Ok::<_, StoreError>(Sequence {
                next: snapshot.meta_number(name)?,
                used: false,
            })
        };
        let (next_arrival, next_account) =
            (counter(meta::NEXT_ARRIVAL)?, counter(meta::NEXT_ACCOUNT)?);
        let tables = Tables::new(snapshot);
        let totals = Totals::read(&tables.meta)?;
        Ok(Self {
            tables,
            options: &store.options,
            now,
            low_disk_space: store.is_disk_low(totals.bytes),
            dirty: false,
            changed_accounts: Vec::new(),
            accounts: HashMap::new(),
            keys: &store.keys,
            current_day_key: None,
            next_arrival,
            next_account,
            totals,
        })
    }

    fn apply(&mut self, change: Command) -> Result<Outcome, StoreError> {
        match change {
            Command::CreateAccount { entry, by, invite } => {
                self.create_account(&entry, &by, invite)
            }
            Command::AppendMembership { by, first, entries } => self.append(by, first, &entries),
            Command::RestoreMembership { account, entries } => self.regain(&account, &entries),
            Command::RecoverAccount {
                account,
                first,
                entries,
            } => self.recover(account, first, &entries),
            Command::Push { by, envelopes } => self.push(by, &envelopes),
            Command::Ack { by, through } => self.ack(by, through),
            Command::DeleteThrough { by, through } => self.delete_through(by, through),
            Command::DeleteAccount { by } => self.delete_account(by),
            Command::DeleteAccountByOperator { account } => self.evict(&account),
            Command::SetQuota { account, quota } => self.set_quota(&account, quota),
            Command::CreateInvite { hash, expires } => self.invite(&hash, expires),
            Command::DropCorrupted { account, seq } => self.drop_corrupted(account, seq),
            Command::Sweep => self.sweep(),
            Command::SaveClock => {
                self.dirty = true;
                Ok(Outcome::ClockSaved)
            }
        }
    }

    /// The account of this number, read once for the whole transaction.
    pub(super) fn account(
        &mut self,
        number: AccountNumber,
    ) -> Result<Option<&mut CachedAccount>, StoreError> {
        if !self.accounts.contains_key(&number) {
            let Some(account) = super::account::load(&self.tables.accounts, number)? else {
                return Ok(None);
            };
            self.accounts
                .insert(number, CachedAccount::unchanged(account));
        }
        Ok(self.accounts.get_mut(&number))
    }

    /// Takes a new account in.
    pub(super) fn add_account(&mut self, account: Account) {
        let mut cached = CachedAccount {
            membership_before: 0,
            counted: Totals::default(),
            ..CachedAccount::unchanged(account)
        };
        cached.dirty = true;
        self.accounts.insert(cached.account.number, cached);
    }

    /// Drops an account whose rows are gone, and tells its sessions.
    pub(super) fn drop_account(&mut self, number: AccountNumber) {
        if let Some(cached) = self.accounts.remove(&number) {
            self.totals.replace(&cached.counted, &Totals::default());
        }
        self.changed_accounts.push(AccountChange {
            account: number,
            head: 0,
            membership_count: 0,
            needs_refetch: true,
        });
        self.dirty = true;
    }

    pub(super) fn next_arrival_number(&mut self) -> u64 {
        self.next_arrival.next()
    }

    /// The key for the envelope that arrives as this one: asked for once in a transaction, and within
    /// it, for that keeps the key from being retired.
    pub(super) fn current_day_key(&mut self, arrival: u64) -> Result<Arc<DayKey>, StoreError> {
        if self.current_day_key.is_none() {
            self.current_day_key = Some(self.keys.for_arrival(arrival, self.now)?);
        }
        Ok(self.current_day_key.clone().expect("just asked for"))
    }

    pub(super) fn next_account_number(&mut self) -> AccountNumber {
        AccountNumber(self.next_account.next())
    }

    /// The rows that changed, if any did.
    fn finish(
        mut self,
        changed_accounts: &mut Vec<AccountChange>,
    ) -> Result<Option<WriteSet>, StoreError> {
        for cached in self.accounts.values().filter(|cached| cached.dirty) {
            if cached.account.membership_count != cached.membership_before {
                let before = super::account::load(&self.tables.accounts, cached.account.number)?;
                super::members::replace(&mut self.tables.members, before.as_ref(), &cached.account);
            }
            self.totals
                .replace(&cached.counted, &Totals::of(&cached.account));
            super::account::save(&mut self.tables.accounts, &cached.account);
            self.dirty = true;
            self.changed_accounts.extend(cached.account_change());
        }
        *changed_accounts = self.changed_accounts;
        if !self.dirty {
            return Ok(None);
        }
        let meta = &mut self.tables.meta;
        meta.insert(meta::CLOCK, self.now.ms().to_be_bytes().as_slice());
        meta.insert(meta::TOTALS, self.totals.to_bytes().as_slice());
        for (name, counter) in [
            (meta::NEXT_ARRIVAL, &self.next_arrival),
            (meta::NEXT_ACCOUNT, &self.next_account),
        ] {
            if counter.used {
                meta.insert(name, counter.next.to_be_bytes().as_slice());
            }
        }
        Ok(Some(WriteSet {
            rows: self.tables.into_memtable(),
            stored_bytes: self.totals.bytes,
        }))
    }
}

impl CachedAccount {
    fn unchanged(account: Account) -> Self {
        Self {
            dirty: false,
            needs_refetch: false,
            head_before: account.head,
            membership_before: account.membership_count,
            counted: Totals::of(&account),
            account,
        }
    }

    fn account_change(&self) -> Option<AccountChange> {
        let account = &self.account;
        let changed = self.needs_refetch
            || account.head != self.head_before
            || account.membership_count != self.membership_before;
        changed.then_some(AccountChange {
            account: account.number,
            head: account.head,
            membership_count: account.membership_count,
            needs_refetch: self.needs_refetch,
        })
    }
}

/// The answer where there is no such account or device any more.
pub(super) fn not_a_member() -> Outcome {
    Outcome::Refused(Refusal::not_a_member())
}
