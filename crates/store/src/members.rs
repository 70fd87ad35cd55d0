//! Members by account and device at once. A stranger's question is one look-up that finds nothing,
//! whether the account exists or not: it never comes near an account's own row.

use sha2::{Digest, Sha256};

use graceful_protocol::{AccountId, DeviceKey};
use graceful_rules::{Account, AccountNumber};

use super::StoreError;
use super::tables::Members;

/// Neither half can be told from where the row lies: members of one account are not neighbours.
fn key(account: &AccountId, device: &DeviceKey) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(account.as_bytes());
    hash.update(device.as_bytes());
    hash.finalize().into()
}

/// The number of the account, if this device is a member of it.
pub(super) fn number(
    members: &Members<'_>,
    account: &AccountId,
    device: &DeviceKey,
) -> Result<Option<AccountNumber>, StoreError> {
    Ok(members
        .get(&key(account, device))?
        .map(|number| AccountNumber(number.value())))
}

/// The members as they are now, in the place of those that the account's row on disk names.
pub(super) fn replace(members: &mut Members<'_>, before: Option<&Account>, after: &Account) {
    if let Some(before) = before {
        remove_all(members, before);
    }
    for device in &after.devices {
        members.insert(&key(&after.id, &device.key), after.number.0);
    }
}

/// None of them is a member any more.
pub(super) fn remove_all(members: &mut Members<'_>, account: &Account) {
    for device in &account.devices {
        members.remove(&key(&account.id, &device.key));
    }
}
