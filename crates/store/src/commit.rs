//! One transaction for all changes that wait: each is decided by the rules on what the ones before
//! it left, and none is answered before all are on disk.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

use graceful_protocol::Refusal;
use graceful_rules::change::{Change, Outcome};
use graceful_rules::{Account, AccountNumber, RelayTime};

use super::at_rest::DayKey;
use super::day_keys::DayKeys;
use super::journal::Journal;
use super::layer::Layer;
use super::look::Totals;
use super::moment::Moment;
use super::open::Options;
use super::tables::{Tables, meta};
use super::{Store, StoreError};

/// What came of a commit.
#[derive(Debug, Default)]
pub struct Committed {
    /// One for each change, in order.
    pub outcomes: Vec<Outcome>,
    /// The accounts whose sessions should look.
    pub stirs: Vec<Stir>,
}

/// An account that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stir {
    /// Which.
    pub account: AccountNumber,
    /// Its newest seq.
    pub head: u64,
    /// Entries in its membership log.
    pub membership_count: u64,
    /// Whether there is more to see: a loss, a removal, the end.
    pub turned: bool,
}

/// An account as this transaction has it so far.
pub(super) struct Open {
    pub(super) account: Account,
    pub(super) dirty: bool,
    /// Sessions have to look even where head and membership stayed.
    pub(super) turned: bool,
    head_before: u64,
    membership_before: u64,
    /// What it added to the totals before.
    had: Totals,
}

/// A transaction in progress.
pub(super) struct Turn<'txn> {
    pub(super) tables: Tables<'txn>,
    pub(super) options: &'txn Options,
    pub(super) now: RelayTime,
    /// The disk is nearly full: nothing new is kept.
    pub(super) short_of_room: bool,
    pub(super) dirty: bool,
    pub(super) stirs: Vec<Stir>,
    accounts: HashMap<AccountNumber, Open>,
    pub(super) keys: &'txn DayKeys,
    key_of_today: Option<Arc<DayKey>>,
    next_arrival: Counter,
    next_account: Counter,
    totals: Totals,
}

/// What a commit changes.
pub(super) struct Changed {
    pub(super) rows: Layer,
    /// Bytes of payload that the store has with it.
    pub(super) stored_bytes: u64,
}

/// A number that is never given twice.
struct Counter {
    next: u64,
    given: bool,
}

impl Counter {
    fn give(&mut self) -> u64 {
        self.given = true;
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
    pub fn commit(&self, changes: Vec<Change>, now: RelayTime) -> Result<Committed, StoreError> {
        let mut journal = self.journal();
        if self.broken.load(Ordering::Relaxed) {
            return Err(StoreError::Damaged(
                "an earlier commit failed, and nobody knows what is on the disk",
            ));
        }
        let committed = self.decide(changes, now).and_then(|(committed, changed)| {
            if let Some(changed) = changed {
                self.keep(&mut journal, changed)?;
            }
            Ok(committed)
        });
        committed.inspect_err(|_| self.broken.store(true, Ordering::Relaxed))
    }

    /// What comes of these changes, and the rows that they change, if any.
    fn decide(
        &self,
        changes: Vec<Change>,
        now: RelayTime,
    ) -> Result<(Committed, Option<Changed>), StoreError> {
        let moment = self.moment()?;
        let mut turn = Turn::begin(&moment, self, now)?;
        let mut committed = Committed::default();
        for change in changes {
            committed.outcomes.push(turn.make(change)?);
        }
        let changed = turn.finish(&mut committed.stirs)?;
        Ok((committed, changed))
    }

    /// Puts rows on the disk, and from then on before whoever reads.
    fn keep(&self, journal: &mut Journal, changed: Changed) -> Result<(), StoreError> {
        if self.goes_straight(&changed) {
            return self.fold_straight(journal, &changed.rows);
        }
        journal.append(&changed.rows)?;
        let in_memory = {
            let mut layers = self.layers.write().expect("nobody panics holding it");
            layers.active.take_in(changed.rows);
            layers.active.bytes()
        };
        if journal.bytes().max(in_memory) as u64 >= self.options.journal_bytes {
            // Mostly folded in long since, by another thread.
            self.fold()?;
            self.freeze(journal);
        }
        Ok(())
    }

    /// The journal, and with it the right to change anything.
    pub(super) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().expect("nobody panics holding it")
    }
}

impl<'txn> Turn<'txn> {
    fn begin(
        moment: &'txn Moment<'_>,
        store: &'txn Store,
        now: RelayTime,
    ) -> Result<Self, StoreError> {
        let counter = |name| {
            Ok::<_, StoreError>(Counter {
                next: moment.number(name)?,
                given: false,
            })
        };
        let (next_arrival, next_account) =
            (counter(meta::NEXT_ARRIVAL)?, counter(meta::NEXT_ACCOUNT)?);
        let tables = Tables::at(moment);
        let totals = Totals::read(&tables.meta)?;
        Ok(Self {
            tables,
            options: &store.options,
            now,
            short_of_room: store.is_short_of_room(totals.bytes),
            dirty: false,
            stirs: Vec::new(),
            accounts: HashMap::new(),
            keys: &store.keys,
            key_of_today: None,
            next_arrival,
            next_account,
            totals,
        })
    }

    fn make(&mut self, change: Change) -> Result<Outcome, StoreError> {
        match change {
            Change::Found { entry, by, invite } => self.found(&entry, &by, invite),
            Change::Append { by, first, entries } => self.append(by, first, &entries),
            Change::Regain { account, entries } => self.regain(&account, &entries),
            Change::Recover {
                account,
                first,
                entries,
            } => self.recover(account, first, &entries),
            Change::Push { by, envelopes } => self.push(by, &envelopes),
            Change::Ack { by, through } => self.ack(by, through),
            Change::DeleteThrough { by, through } => self.delete_through(by, through),
            Change::CloseAccount { by } => self.close_account(by),
            Change::Evict { account } => self.evict(&account),
            Change::SetQuota { account, quota } => self.set_quota(&account, quota),
            Change::Invite { hash, expires } => self.invite(&hash, expires),
            Change::GiveUp { account, seq } => self.give_up(account, seq),
            Change::Sweep => self.sweep(),
            Change::MarkClock => {
                self.dirty = true;
                Ok(Outcome::Marked)
            }
        }
    }

    /// The account of this number, read once for the whole transaction.
    pub(super) fn account(
        &mut self,
        number: AccountNumber,
    ) -> Result<Option<&mut Open>, StoreError> {
        if !self.accounts.contains_key(&number) {
            let Some(account) = super::account::load(&self.tables.accounts, number)? else {
                return Ok(None);
            };
            self.accounts.insert(number, Open::unchanged(account));
        }
        Ok(self.accounts.get_mut(&number))
    }

    /// Takes a new account in.
    pub(super) fn add_account(&mut self, account: Account) {
        let mut open = Open {
            membership_before: 0,
            had: Totals::default(),
            ..Open::unchanged(account)
        };
        open.dirty = true;
        self.accounts.insert(open.account.number, open);
    }

    /// Drops an account whose rows are gone, and tells its sessions.
    pub(super) fn drop_account(&mut self, number: AccountNumber) {
        if let Some(open) = self.accounts.remove(&number) {
            self.totals.replace(&open.had, &Totals::default());
        }
        self.stirs.push(Stir {
            account: number,
            head: 0,
            membership_count: 0,
            turned: true,
        });
        self.dirty = true;
    }

    pub(super) fn give_arrival(&mut self) -> u64 {
        self.next_arrival.give()
    }

    /// The key for the envelope that arrives as this one: asked for once in a transaction, and within
    /// it, for that keeps the key from being retired.
    pub(super) fn key_of_today(&mut self, arrival: u64) -> Result<Arc<DayKey>, StoreError> {
        if self.key_of_today.is_none() {
            self.key_of_today = Some(self.keys.for_arrival(arrival, self.now)?);
        }
        Ok(self.key_of_today.clone().expect("just asked for"))
    }

    pub(super) fn give_account_number(&mut self) -> AccountNumber {
        AccountNumber(self.next_account.give())
    }

    /// The rows that changed, if any did.
    fn finish(mut self, stirs: &mut Vec<Stir>) -> Result<Option<Changed>, StoreError> {
        for open in self.accounts.values().filter(|open| open.dirty) {
            if open.account.membership_count != open.membership_before {
                let before = super::account::load(&self.tables.accounts, open.account.number)?;
                super::members::replace(&mut self.tables.members, before.as_ref(), &open.account);
            }
            self.totals.replace(&open.had, &Totals::of(&open.account));
            super::account::save(&mut self.tables.accounts, &open.account);
            self.dirty = true;
            self.stirs.extend(open.stir());
        }
        *stirs = self.stirs;
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
            if counter.given {
                meta.insert(name, counter.next.to_be_bytes().as_slice());
            }
        }
        Ok(Some(Changed {
            rows: self.tables.into_layer(),
            stored_bytes: self.totals.bytes,
        }))
    }
}

impl Open {
    fn unchanged(account: Account) -> Self {
        Self {
            dirty: false,
            turned: false,
            head_before: account.head,
            membership_before: account.membership_count,
            had: Totals::of(&account),
            account,
        }
    }

    fn stir(&self) -> Option<Stir> {
        let account = &self.account;
        let stirred = self.turned
            || account.head != self.head_before
            || account.membership_count != self.membership_before;
        stirred.then_some(Stir {
            account: account.number,
            head: account.head,
            membership_count: account.membership_count,
            turned: self.turned,
        })
    }
}

/// The answer where there is no such account or device any more.
pub(super) fn not_a_member() -> Outcome {
    Outcome::Refused(Refusal::not_a_member())
}
