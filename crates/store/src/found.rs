//! Found: a new account, if registration allows it. A device that asks again is told the same.

use prost::Message;

use graceful_protocol::DeviceKey;
use graceful_protocol::membership::account_id;
use graceful_protocol::wire::SignedEntry;
use graceful_rules::command::{InviteHash, Outcome};
use graceful_rules::disk_space::refuse_create_account;
use graceful_rules::membership::{create_account, recovery_key};

use super::commit::{Transaction, not_a_member};
use super::tables::pair;
use super::{StoreError, account};

impl Transaction<'_> {
    pub(super) fn create_account(
        &mut self,
        entry: &SignedEntry,
        by: &DeviceKey,
        invite: Option<InviteHash>,
    ) -> Result<Outcome, StoreError> {
        let id = account_id(entry);
        if let Some(number) = account::number(&self.tables.account_numbers, &id)? {
            let known = self
                .account(number)?
                .is_some_and(|cached| cached.account.device_by_key(by).is_some());
            return Ok(if known {
                Outcome::AccountCreated
            } else {
                not_a_member()
            });
        }
        if self.low_disk_space {
            return Ok(Outcome::Refused(refuse_create_account()));
        }
        let invited = match &invite {
            Some(hash) => self.is_invited(hash)?,
            None => false,
        };
        let number = self.next_account_number();
        let new = match create_account(number, entry, by, self.options.registration, invited) {
            Ok(account) => account,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        if let Some(key) = recovery_key(entry)
            && let Err(refusal) = self.insert_recovery_key(&key, number)?
        {
            return Ok(Outcome::Refused(refusal));
        }
        if let Some(hash) = &invite {
            self.tables.invites.remove(hash);
        }
        self.tables.account_numbers.insert(id.as_bytes(), number.0);
        self.tables
            .membership
            .insert(&pair(number.0, 0), entry.encode_to_vec().as_slice());
        self.add_account(new);
        Ok(Outcome::AccountCreated)
    }
}
