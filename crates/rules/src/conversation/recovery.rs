//! Somebody without a device: the recovery key proves itself, is shown the whole membership log, and
//! may add to that. It has no place in the account's log of envelopes, so it is shown none of them.

use graceful_protocol::frame::{DeviceFrame, RelayFrame};
use graceful_protocol::recovery::RecoveryChallenge;
use graceful_protocol::wire::{self, Append, Recover};
use graceful_protocol::{Code, DeviceKey, Refusal, membership};

use super::super::AccountNumber;
use super::super::change::{Change, News, Ready, Recoverable};
use super::{Awaited, Conversation, Phase, Request};

/// What is known of somebody whose recovery key was found.
#[derive(Debug)]
pub(super) struct Recovery {
    account: AccountNumber,
    key: DeviceKey,
    entries_shown: u64,
    looking: bool,
    due: bool,
    turns: u64,
}

impl Recovery {
    pub(super) fn is_looking(&self) -> bool {
        self.looking
    }

    /// What was offered is the answer to the offer, even if shown before.
    pub(super) fn show_again(&mut self, first: u64) {
        self.entries_shown = self.entries_shown.min(first);
    }
}

impl Conversation {
    /// A wrong signature is only noted: it takes the same road, and the same time, as an unknown key.
    pub(super) fn recover(&mut self, recover: &Recover) -> Result<(), Refusal> {
        self.check_version(recover.version)?;
        self.check_host(&recover.host)?;
        let key = DeviceKey::try_from(&*recover.recovery_key)
            .map_err(|error| Refusal::new(Code::Malformed, error.to_string()))?;
        let (nonce, epoch, host) = (&self.nonce, self.terms.epoch, &*recover.host);
        let challenge = RecoveryChallenge {
            nonce,
            epoch,
            host,
            key,
        };
        let proven = challenge.verify(&recover.signature);
        self.requests.push_back(Request::FindRecovery { key });
        self.phase = Phase::Recognising { key, proven };
        Ok(())
    }

    /// The answer to [`Request::FindRecovery`].
    pub fn recovery_found(&mut self, found: Option<Recoverable>) {
        let Phase::Recognising { key, proven } = self.phase else {
            return;
        };
        let Some(found) = found.filter(|_| proven) else {
            let text = "no account of this relay has this recovery key; \
                        see that the words and the relay's address are right";
            return self.refuse(Refusal::new(Code::NotAMember, text));
        };
        let account = found.account;
        let membership_count = found.membership_count;
        self.send(RelayFrame::Recovering(wire::Recovering {
            membership_count,
        }));
        let recovery = Recovery {
            account,
            key,
            entries_shown: 0,
            looking: false,
            due: true,
            turns: 0,
        };
        self.phase = Phase::Recovering(recovery);
        self.look_at_log();
    }

    /// Looks, if there is reason to and no look under way.
    pub(super) fn look_at_log(&mut self) {
        if let Phase::Recovering(recovery) = &mut self.phase
            && recovery.due
            && !recovery.looking
        {
            (recovery.due, recovery.looking) = (false, true);
            let (account, entries_from) = (recovery.account, recovery.entries_shown);
            self.requests.push_back(Request::LookAtLog {
                account,
                entries_from,
            });
        }
    }

    pub(super) fn look_at_log_again(&mut self) {
        if let Phase::Recovering(recovery) = &mut self.phase {
            recovery.due = true;
            self.look_at_log();
        }
    }

    pub(super) fn hear_of_log(&mut self, news: News) {
        if let Phase::Recovering(recovery) = &mut self.phase {
            // A turn may be the end of the account.
            recovery.due |=
                news.turns != recovery.turns || news.membership_count > recovery.entries_shown;
            recovery.turns = news.turns;
            self.look_at_log();
        }
    }

    pub(super) fn show_log(&mut self, ready: Ready) {
        let Phase::Recovering(recovery) = &mut self.phase else {
            return;
        };
        recovery.looking = false;
        let first = ready.entries_from;
        // Rewound meanwhile by an offer: the look that is due shows more.
        let entries = if first == recovery.entries_shown {
            ready.entries
        } else {
            Vec::new()
        };
        recovery.entries_shown += entries.len() as u64;
        recovery.due |= recovery.entries_shown < ready.membership_count;
        if !entries.is_empty() {
            self.send(RelayFrame::Membership(wire::Membership { first, entries }));
        }
        self.look_at_log();
    }

    pub(super) fn serve_recovery(&mut self, frame: DeviceFrame) {
        let served = match frame {
            DeviceFrame::Append(append) => self.append_for_recovery(append),
            _ => Err(Refusal::new(
                Code::Unexpected,
                "a recovery key can do nothing but change the devices",
            )),
        };
        if let Err(refusal) = served {
            self.refuse(refusal);
        }
    }

    fn append_for_recovery(&mut self, append: Append) -> Result<(), Refusal> {
        let Phase::Recovering(recovery) = &self.phase else {
            return Ok(());
        };
        let (account, key) = (recovery.account, recovery.key);
        // What is no entry at all is left to the rules of the log.
        let by_another =
            |entry| membership::open(entry).is_ok_and(|entry| *entry.author != *key.as_bytes());
        if append.entries.iter().any(by_another) {
            return Err(Refusal::new(
                Code::Unexpected,
                "here entries are signed by the recovery key",
            ));
        }
        let Append { first, entries } = append;
        self.commit(
            Change::Recover {
                account,
                first,
                entries,
            },
            Awaited::Append { first },
        );
        Ok(())
    }
}
