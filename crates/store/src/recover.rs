//! Recovery: from a recovery key to its account, and into that account's membership log.

use graceful_protocol::wire::SignedEntry;
use graceful_protocol::{Code, DeviceKey, Refusal};
use graceful_rules::AccountNumber;
use graceful_rules::command::{AccountPage, FetchResult, Outcome, RecoverableAccount};

use super::commit::{Transaction, not_a_member};
use super::tables::{ACCOUNTS, MEMBERSHIP, RECOVERY};
use super::{Store, StoreError, account, membership};

impl Store {
    /// The account of a recovery key, if there is one.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn find_recovery(&self, key: &DeviceKey) -> Result<Option<RecoverableAccount>, StoreError> {
        let snapshot = self.snapshot()?;
        let recovery = snapshot.table(RECOVERY);
        let Some(number) = recovery
            .get(key.as_bytes())?
            .map(|number| AccountNumber(number.value()))
        else {
            return Ok(None);
        };
        let account = account::load(&snapshot.table(ACCOUNTS), number)?.ok_or(
            StoreError::Damaged("a recovery key leads to an account without a row"),
        )?;
        Ok(Some(RecoverableAccount {
            account: number,
            membership_count: account.membership_count,
        }))
    }

    /// A membership log from an index on, as of the last commit, and nothing else of the account.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn fetch_membership(
        &self,
        number: AccountNumber,
        entries_from: u64,
    ) -> Result<FetchResult, StoreError> {
        let snapshot = self.snapshot()?;
        let Some(account) = account::load(&snapshot.table(ACCOUNTS), number)? else {
            return Ok(FetchResult::AccountDeleted);
        };
        let table = snapshot.table(MEMBERSHIP);
        let entries = membership::entries(&table, number, entries_from, self.entries_bytes_max())?;
        let membership_count = account.membership_count;
        Ok(FetchResult::Page(AccountPage {
            entries_from,
            entries,
            membership_count,
            ..AccountPage::default()
        }))
    }
}

impl Transaction<'_> {
    /// Remembers whose recovery key this is. Says no where it is another account's.
    pub(super) fn insert_recovery_key(
        &mut self,
        key: &DeviceKey,
        number: AccountNumber,
    ) -> Result<Result<(), Refusal>, StoreError> {
        if self.tables.recovery.get(key.as_bytes())?.is_some() {
            let text = "another account has this recovery key already; make a new one";
            return Ok(Err(Refusal::new(Code::InvalidMembership, text)));
        }
        self.tables.recovery.insert(key.as_bytes(), number.0);
        Ok(Ok(()))
    }

    /// Whoever has the words needs no device: the log's own rules check the signatures.
    pub(super) fn recover(
        &mut self,
        number: AccountNumber,
        first: u64,
        entries: &[SignedEntry],
    ) -> Result<Outcome, StoreError> {
        match self.account(number)? {
            Some(_) => self.extend_log(number, first, entries),
            None => Ok(not_a_member()),
        }
    }
}
