//! Found: a new account, if registration allows it. A device that asks again is told the same.

use prost::Message;

use graceful_protocol::DeviceKey;
use graceful_protocol::membership::account_id;
use graceful_protocol::wire::SignedEntry;
use graceful_rules::change::{InviteHash, Outcome};
use graceful_rules::membership::{found, recovery_key};
use graceful_rules::room::refuse_founding;

use super::commit::{Turn, not_a_member};
use super::tables::pair;
use super::{StoreError, account};

impl Turn<'_> {
    pub(super) fn found(
        &mut self,
        entry: &SignedEntry,
        by: &DeviceKey,
        invite: Option<InviteHash>,
    ) -> Result<Outcome, StoreError> {
        let id = account_id(entry);
        if let Some(number) = account::number(&self.tables.account_numbers, &id)? {
            let known = self
                .account(number)?
                .is_some_and(|open| open.account.device_by_key(by).is_some());
            return Ok(if known {
                Outcome::Founded
            } else {
                not_a_member()
            });
        }
        if self.short_of_room {
            return Ok(Outcome::Refused(refuse_founding()));
        }
        let invited = match &invite {
            Some(hash) => self.is_invited(hash)?,
            None => false,
        };
        let number = self.give_account_number();
        let new = match found(number, entry, by, self.options.registration, invited) {
            Ok(account) => account,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        if let Some(key) = recovery_key(entry)
            && let Err(refusal) = self.keep_recovery(&key, number)?
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
        Ok(Outcome::Founded)
    }
}
