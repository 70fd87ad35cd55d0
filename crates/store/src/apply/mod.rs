//! Commands applied to a write transaction, one after the other: the rules decide each of them on what
//! the commands before it left. The same for every engine.

mod account;
mod envelope;
mod membership;

use std::collections::HashMap;

use graceful_protocol::Refusal;
use graceful_rules::command::{Command, DeletionRequest, Outcome};
use graceful_rules::{Account, AccountNumber, RelayTime};

use crate::{Policy, Rows, StoreError, Totals, WriteTxn};

/// The result of a commit.
#[derive(Debug, Default, PartialEq)]
pub struct Committed {
    /// One for each command, in order.
    pub outcomes: Vec<Outcome>,
    /// The accounts that changed.
    pub changed_accounts: Vec<AccountChange>,
}

/// A notification that an account changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountChange {
    /// The account.
    pub account: AccountNumber,
    /// Its newest seq.
    pub head: u64,
    /// Entries in its membership log.
    pub membership_count: u64,
    /// Whether sessions must fetch even if head and membership log are the same: after a loss, a removal
    /// or a deletion.
    pub needs_refetch: bool,
}

/// An account as the transaction has changed it so far.
struct CachedAccount {
    account: Account,
    /// The row has to be saved.
    dirty: bool,
    needs_refetch: bool,
    head_before: u64,
    membership_before: u64,
    /// The account's share of the totals before the transaction.
    counted: Totals,
}

/// A batch of commands in one write transaction.
pub(crate) struct Transaction<'a, T> {
    txn: T,
    policy: Policy<'a>,
    now: RelayTime,
    /// Nothing new is stored.
    low_disk_space: bool,
    dirty: bool,
    changed_accounts: Vec<AccountChange>,
    accounts: HashMap<AccountNumber, CachedAccount>,
    totals: Totals,
}

/// A finished transaction, ready for its engine to commit.
pub(crate) struct Finished<T> {
    pub(crate) txn: T,
    /// Whether anything has to be written.
    pub(crate) dirty: bool,
    pub(crate) changed_accounts: Vec<AccountChange>,
    pub(crate) totals: Totals,
}

impl<'a, T: WriteTxn> Transaction<'a, T> {
    pub(crate) fn new(
        txn: T,
        policy: Policy<'a>,
        now: RelayTime,
        totals: Totals,
        low_disk_space: bool,
    ) -> Self {
        Self {
            txn,
            policy,
            now,
            low_disk_space,
            dirty: false,
            changed_accounts: Vec::new(),
            accounts: HashMap::new(),
            totals,
        }
    }

    /// Applies one command.
    ///
    /// # Errors
    /// [`StoreError::NotFetched`] if a row is not loaded: the whole batch has to be applied again. Any
    /// other error is a failure of the engine.
    pub(crate) fn apply(&mut self, command: &Command) -> Result<Outcome, StoreError> {
        match command {
            Command::CreateAccount { entry, by, invite } => {
                self.create_account(entry, by, invite.as_ref())
            }
            Command::AppendMembership { by, first, entries } => {
                self.append_membership(*by, *first, entries)
            }
            Command::RestoreMembership { account, entries } => {
                self.restore_membership(account, entries)
            }
            Command::RecoverAccount {
                account,
                first,
                entries,
            } => self.recover_account(*account, *first, entries),
            Command::Push { by, envelopes } => self.push(*by, envelopes),
            Command::Ack { by, through } => self.ack(*by, *through),
            Command::DeleteThrough { by, through } => self.delete_through(*by, *through),
            Command::DeleteAccount { by } => match by {
                DeletionRequest::Device(member) => self.delete_account(*member),
                DeletionRequest::Operator(account) => self.delete_account_by_operator(account),
            },
            Command::SetQuota { account, quota } => self.set_quota(account, *quota),
            Command::CreateInvite { hash, expires } => self.create_invite(hash, *expires),
            Command::DropCorrupted { account, seq } => self.drop_corrupted(*account, *seq),
            Command::Sweep => self.sweep(),
            Command::SaveClock => {
                self.dirty = true;
                Ok(Outcome::ClockSaved)
            }
        }
    }

    /// Saves the accounts that changed, and the totals.
    ///
    /// # Errors
    /// [`StoreError`]
    pub(crate) fn finish(mut self) -> Result<Finished<T>, StoreError> {
        for cached in self.accounts.values().filter(|cached| cached.dirty) {
            let account = &cached.account;
            if account.membership_count != cached.membership_before {
                let before = self.txn.rows().account(account.number)?;
                self.txn.replace_members(before.as_ref(), account);
            }
            self.totals.replace(&cached.counted, &Totals::of(account));
            self.txn.save_account(account);
            self.dirty = true;
            self.changed_accounts.extend(cached.account_change());
        }
        if self.dirty {
            self.txn.save_meta(self.now, &self.totals);
        }
        Ok(Finished {
            txn: self.txn,
            dirty: self.dirty,
            changed_accounts: self.changed_accounts,
            totals: self.totals,
        })
    }

    /// Returns an account, read once in the whole transaction.
    fn account(&mut self, number: AccountNumber) -> Result<Option<&mut CachedAccount>, StoreError> {
        if !self.accounts.contains_key(&number) {
            let Some(account) = self.txn.rows().account(number)? else {
                return Ok(None);
            };
            self.accounts
                .insert(number, CachedAccount::unchanged(account));
        }
        Ok(self.accounts.get_mut(&number))
    }

    /// Adds a new account.
    fn add_account(&mut self, account: Account) {
        let cached = CachedAccount {
            dirty: true,
            membership_before: 0,
            counted: Totals::default(),
            ..CachedAccount::unchanged(account)
        };
        self.accounts.insert(cached.account.number, cached);
    }

    /// Drops an account whose rows were removed, and notifies its sessions.
    fn drop_account(&mut self, number: AccountNumber) {
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
}

/// Applies a batch of commands and finishes the transaction.
///
/// # Errors
/// As [`Transaction::apply`].
pub(crate) fn apply_all<T: WriteTxn>(
    mut transaction: Transaction<'_, T>,
    commands: &[Command],
) -> Result<(Vec<Outcome>, Finished<T>), StoreError> {
    let mut outcomes = Vec::with_capacity(commands.len());
    for command in commands {
        outcomes.push(transaction.apply(command)?);
    }
    Ok((outcomes, transaction.finish()?))
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

    /// Marks a change that sessions do not see in head or membership log.
    fn mark_refetch(&mut self) {
        (self.dirty, self.needs_refetch) = (true, true);
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

/// The outcome if the account or device does not exist any more.
fn not_a_member() -> Outcome {
    Outcome::Refused(Refusal::not_a_member())
}
