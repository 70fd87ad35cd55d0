//! Account rows: load, save, find by id.

use graceful_protocol::AccountId;
use graceful_rules::{Account, AccountNumber};

use super::StoreError;
use super::row;
use super::tables::{AccountNumbers, Accounts};

pub(super) fn load(
    accounts: &Accounts<'_>,
    number: AccountNumber,
) -> Result<Option<Account>, StoreError> {
    let Some(bytes) = accounts.get(&number.0.to_be_bytes())? else {
        return Ok(None);
    };
    row::decode_account(number, bytes.value()).map(Some)
}

pub(super) fn save(accounts: &mut Accounts<'_>, account: &Account) {
    accounts.put(
        &account.number.0.to_be_bytes(),
        row::encode_account(account).into(),
    );
}

pub(super) fn number(
    numbers: &AccountNumbers<'_>,
    id: &AccountId,
) -> Result<Option<AccountNumber>, StoreError> {
    Ok(numbers
        .get(id.as_bytes())?
        .map(|number| AccountNumber(number.value())))
}
