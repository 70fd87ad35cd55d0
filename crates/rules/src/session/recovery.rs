//! Sessions of a recovery key: they read the whole membership log and may append to it, but receive
//! no envelopes.

use graceful_protocol::frame::{DeviceFrame, RelayFrame};
use graceful_protocol::recovery::RecoveryChallenge;
use graceful_protocol::wire::{self, AppendMembership, RecoverAccount};
use graceful_protocol::{Code, DeviceKey, Refusal, membership};

use super::super::AccountNumber;
use super::super::command::{AccountPage, AccountVersion, Command, RecoverableAccount};
use super::{Output, PendingReply, Phase, Session};

/// State of a session authenticated by a recovery key.
#[derive(Debug)]
pub(super) struct Recovery {
    account: AccountNumber,
    key: DeviceKey,
    entries_shown: u64,
    fetching: bool,
    due: bool,
    revision: u64,
}

impl Recovery {
    pub(super) fn is_fetching(&self) -> bool {
        self.fetching
    }

    /// Sends appended entries as the answer, even if sent before.
    pub(super) fn rewind(&mut self, first: u64) {
        self.entries_shown = self.entries_shown.min(first);
    }
}

impl Session {
    /// A wrong signature is only recorded: it takes the same path and time as an unknown key.
    pub(super) fn recover(&mut self, recover: &RecoverAccount) -> Result<(), Refusal> {
        self.check_version(recover.version)?;
        self.check_host(&recover.host)?;
        let key = DeviceKey::try_from(&*recover.recovery_key)
            .map_err(|error| Refusal::new(Code::Malformed, error.to_string()))?;
        let (nonce, epoch, host) = (&self.nonce, self.config.epoch, &*recover.host);
        let challenge = RecoveryChallenge {
            nonce,
            epoch,
            host,
            key,
        };
        let proven = challenge.verify(&recover.signature);
        self.outputs.push_back(Output::FindRecoveryKey { key });
        self.phase = Phase::LookingUpRecoveryKey { key, proven };
        Ok(())
    }

    /// Handles the answer to [`Output::FindRecoveryKey`].
    pub fn on_recovery_key_found(&mut self, found: Option<RecoverableAccount>) {
        let Phase::LookingUpRecoveryKey { key, proven } = self.phase else {
            return;
        };
        let Some(found) = found.filter(|_| proven) else {
            let text = "no account on this relay has this recovery key; \
                        check the recovery phrase and the relay's address";
            return self.refuse(Refusal::new(Code::NotAMember, text));
        };
        let account = found.account;
        let membership_count = found.membership_count;
        self.send(RelayFrame::RecoveryAccepted(wire::RecoveryAccepted {
            membership_count,
        }));
        let recovery = Recovery {
            account,
            key,
            entries_shown: 0,
            fetching: false,
            due: true,
            revision: 0,
        };
        self.phase = Phase::Recovering(recovery);
        self.fetch_membership();
    }

    /// Fetches if something is pending and no fetch is in flight.
    pub(super) fn fetch_membership(&mut self) {
        if let Phase::Recovering(recovery) = &mut self.phase
            && recovery.due
            && !recovery.fetching
        {
            (recovery.due, recovery.fetching) = (false, true);
            let (account, entries_from) = (recovery.account, recovery.entries_shown);
            self.outputs.push_back(Output::FetchMembership {
                account,
                entries_from,
            });
        }
    }

    pub(super) fn refetch_membership(&mut self) {
        if let Phase::Recovering(recovery) = &mut self.phase {
            recovery.due = true;
            self.fetch_membership();
        }
    }

    pub(super) fn on_membership_changed(&mut self, version: AccountVersion) {
        if let Phase::Recovering(recovery) = &mut self.phase {
            // A new revision may be the deletion of the account.
            recovery.due |= version.revision != recovery.revision
                || version.membership_count > recovery.entries_shown;
            recovery.revision = version.revision;
            self.fetch_membership();
        }
    }

    pub(super) fn deliver_membership(&mut self, page: AccountPage) {
        let Phase::Recovering(recovery) = &mut self.phase else {
            return;
        };
        recovery.fetching = false;
        let first = page.entries_from;
        // Rewound in the meantime by an append: the pending fetch delivers the entries.
        let entries = if first == recovery.entries_shown {
            page.entries
        } else {
            Vec::new()
        };
        recovery.entries_shown += entries.len() as u64;
        recovery.due |= recovery.entries_shown < page.membership_count;
        if !entries.is_empty() {
            self.send(RelayFrame::Membership(wire::Membership { first, entries }));
        }
        self.fetch_membership();
    }

    pub(super) fn serve_recovery(&mut self, frame: DeviceFrame) {
        let served = match frame {
            DeviceFrame::AppendMembership(append) => self.append_for_recovery(append),
            _ => Err(Refusal::new(
                Code::UnexpectedFrame,
                "a recovery key may only append membership entries",
            )),
        };
        if let Err(refusal) = served {
            self.refuse(refusal);
        }
    }

    fn append_for_recovery(&mut self, append: AppendMembership) -> Result<(), Refusal> {
        let Phase::Recovering(recovery) = &self.phase else {
            return Ok(());
        };
        let (account, key) = (recovery.account, recovery.key);
        // Undecodable entries are left to the membership rules.
        let by_another =
            |entry| membership::open(entry).is_ok_and(|entry| *entry.author != *key.as_bytes());
        if append.entries.iter().any(by_another) {
            return Err(Refusal::new(
                Code::UnexpectedFrame,
                "entries must be signed by the recovery key",
            ));
        }
        let AppendMembership { first, entries } = append;
        self.commit(
            Command::RecoverAccount {
                account,
                first,
                entries,
            },
            PendingReply::AppendMembership { first },
        );
        Ok(())
    }
}
