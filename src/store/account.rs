//! Account rows: load, save, find by id.

use redb::ReadableTable;

use crate::protocol::AccountId;
use crate::rules::{Account, AccountNumber};

use super::StoreError;
use super::row;

pub(super) fn load(
    accounts: &impl ReadableTable<u64, &'static [u8]>,
    number: AccountNumber,
) -> Result<Option<Account>, StoreError> {
    let Some(bytes) = accounts.get(number.0)? else {
        return Ok(None);
    };
    row::account(number, bytes.value()).map(Some)
}

pub(super) fn save(
    accounts: &mut redb::Table<'_, u64, &'static [u8]>,
    account: &Account,
) -> Result<(), StoreError> {
    accounts.insert(account.number.0, row::account_bytes(account).as_slice())?;
    Ok(())
}

pub(super) fn number(
    numbers: &impl ReadableTable<&'static [u8; 32], u64>,
    id: &AccountId,
) -> Result<Option<AccountNumber>, StoreError> {
    Ok(numbers.get(id.as_bytes())?.map(|number| AccountNumber(number.value())))
}
