//! Recovery without sockets or disk: frames of the relay go in, frames for it come out, until the
//! account is there and the new device in it. Nothing that the relay says is believed unless the
//! recovery key, or a member in its turn, has signed it. docs/reference/protocol.md, section 3.

use std::fmt;

use bytes::Bytes;

use super::account::{AccountView, MembershipError};
use super::keys::{DeviceKeys, EpochSecret};
use super::mnemonic::RecoveryKey;
use super::pairing::{Account, Joining};
use super::rng::CryptoRng;
use super::wrap::{Wrapping, unwrap};
use graceful_protocol::challenge::NONCE_BYTES;
use graceful_protocol::frame::{DeviceFrame, RelayFrame};
use graceful_protocol::membership::{self, InvalidEntry, Membership};
use graceful_protocol::recovery::RecoveryChallenge;
use graceful_protocol::wire::membership_entry::Change;
use graceful_protocol::wire::{self, SignedEntry};
use graceful_protocol::{Code, Refusal, StoreEpoch, VERSION};

/// Others may change the devices at the same moment, but not for ever.
const APPENDS_MAX: u32 = 16;

/// Why an account did not come back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// The relay does not follow the protocol.
    #[error("the relay does not follow the protocol: {0}")]
    Protocol(&'static str),
    /// An entry that does not belong where the relay put it.
    #[error(
        "the relay shows a membership log that cannot be true, at entry {index}: {cause}; it may not be honest"
    )]
    Entry {
        /// Where.
        index: u64,
        /// What is wrong with it.
        cause: InvalidEntry,
    },
    /// A valid genesis of somebody else's account.
    #[error("the relay shows an account that these words did not found; it may not be honest")]
    OtherAccount,
    /// It told one history and then another.
    #[error("the relay shows two different entries {0} of the membership log; it is not honest")]
    Fork(u64),
    /// Whoever started this key epoch gave the recovery key something else than its secret.
    #[error(
        "the secret of key epoch {0} cannot be opened with these words, for the device that made it wrapped \
         something else; pair from a device that still works, if there is one"
    )]
    Secret(u32),
    /// The connection ended in the middle of the log.
    #[error(
        "the connection ended when the relay had shown {shown} of {wanted} entries of the membership log, and \
         nothing less than all will do; try again"
    )]
    Incomplete {
        /// So many came.
        shown: u64,
        /// So many the relay had promised.
        wanted: u64,
    },
    /// An earlier try added this device, and another one removed it since.
    #[error(
        "another device removed this one before it was ready; run this again, which makes new keys"
    )]
    Removed,
    /// The relay says no.
    #[error("the relay refused: {text}")]
    Refused {
        /// For programs.
        code: Code,
        /// For people.
        text: String,
    },
    /// The log would not take this device.
    #[error(transparent)]
    Membership(#[from] MembershipError),
}

/// What comes of a frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// More has to come.
    Wait,
    /// This is to be sent.
    Send(DeviceFrame),
    /// The relay has the device in the log on its disk: here is the account.
    Done(Account),
}

/// One attempt, over one connection.
pub struct Recovery {
    recovery: DeviceKeys,
    joining: Joining,
    /// Whether all other devices are to go in the same step.
    remove_others: bool,
    /// As dialled: lower case, no port, no brackets.
    host: String,
    greeted: bool,
    /// Entries without which the log is not complete, once that is known.
    wanted: Option<u64>,
    /// The log so far, as the recovery key sees it.
    view: Option<AccountView>,
    /// An entry is on its way to the relay.
    offered: bool,
    appends: u32,
}

impl fmt::Debug for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recovery")
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}

impl Recovery {
    /// Begins as a connection is made. `joining` is the device that will belong to the account,
    /// alone if `remove_others`.
    pub fn new(key: &RecoveryKey, joining: Joining, remove_others: bool, host: &str) -> Self {
        Self {
            recovery: key.keys(),
            joining,
            remove_others,
            host: host.to_ascii_lowercase(),
            greeted: false,
            wanted: None,
            view: None,
            offered: false,
            appends: 0,
        }
    }

    /// The relay sent a frame.
    ///
    /// # Errors
    /// [`RecoveryError`] ends the attempt.
    pub fn handle_frame(
        &mut self,
        frame: RelayFrame,
        rng: &mut dyn CryptoRng,
    ) -> Result<Step, RecoveryError> {
        match frame {
            RelayFrame::Refusal(refusal) => self.refused(refusal.into(), rng),
            RelayFrame::Greeting(greeting) if !self.greeted => self.greeting(&greeting),
            RelayFrame::RecoveryAccepted(recovering) if self.greeted && self.wanted.is_none() => {
                self.wanted = Some(recovering.membership_count.max(1));
                Ok(Step::Wait)
            }
            RelayFrame::Membership(membership) if self.wanted.is_some() => {
                self.take(membership)?;
                self.advance(rng)
            }
            RelayFrame::Pong(_) => Ok(Step::Wait),
            _ => Err(RecoveryError::Protocol("a frame came before its turn")),
        }
    }

    /// What a connection that ends now leaves undone, if that is known.
    pub fn broken_off(&self) -> Option<RecoveryError> {
        let wanted = self.wanted?;
        let shown = self
            .view
            .as_ref()
            .map_or(0, |view| view.membership().count());
        (shown < wanted).then_some(RecoveryError::Incomplete { shown, wanted })
    }

    fn greeting(&mut self, greeting: &wire::Greeting) -> Result<Step, RecoveryError> {
        let (Ok(epoch), NONCE_BYTES) =
            (StoreEpoch::try_from(&*greeting.epoch), greeting.nonce.len())
        else {
            return Err(RecoveryError::Protocol("its greeting is not one"));
        };
        self.greeted = true;
        let key = self.recovery.device();
        let challenge = RecoveryChallenge {
            nonce: &greeting.nonce,
            epoch,
            host: &self.host,
            key,
        };
        Ok(Step::Send(DeviceFrame::RecoverAccount(
            wire::RecoverAccount {
                version: VERSION,
                recovery_key: key.to_wire(),
                host: self.host.clone(),
                signature: Bytes::copy_from_slice(&challenge.sign(self.recovery.signing())),
            },
        )))
    }

    fn take(&mut self, membership: wire::Membership) -> Result<(), RecoveryError> {
        for (step, entry) in (0..).zip(&membership.entries) {
            let index = membership.first.saturating_add(step);
            match &mut self.view {
                None if index == 0 => self.view = Some(self.found(entry)?),
                None => return Err(RecoveryError::Protocol("its log has no beginning")),
                Some(view) => follow(view, index, entry)?,
            }
        }
        Ok(())
    }

    /// The genesis entry, if the words founded this account: the recovery key has signed it.
    fn found(&self, entry: &SignedEntry) -> Result<AccountView, RecoveryError> {
        let invalid = |cause| RecoveryError::Entry { index: 0, cause };
        let log = Membership::from_genesis(entry).map_err(invalid)?;
        let (key, agreement) = (self.recovery.device(), self.recovery.agreement());
        let named = log
            .recovery()
            .filter(|named| named.key == key && named.agreement == agreement.public());
        let Some(Change::Genesis(found)) = membership::open(entry).map_err(invalid)?.change else {
            return Err(RecoveryError::OtherAccount);
        };
        if named.is_none() {
            return Err(RecoveryError::OtherAccount);
        }
        let wrapping = Wrapping {
            account: None,
            key_epoch: 0,
            recipient: &key,
        };
        let secret = unwrap(&found.recovery_wrapped, &wrapping, agreement);
        let secret: EpochSecret = secret.map_err(|_| RecoveryError::Secret(0))?;
        let entries = std::slice::from_ref(entry);
        AccountView::new(self.recovery.clone(), entries, &[secret], &[]).map_err(invalid)
    }

    /// With the whole log there: is the device in it, or does it have to be added?
    fn advance(&mut self, rng: &mut dyn CryptoRng) -> Result<Step, RecoveryError> {
        let complete = |view: &&AccountView| {
            self.wanted
                .is_some_and(|wanted| view.membership().count() >= wanted)
        };
        let Some(view) = self.view.as_ref().filter(complete) else {
            return Ok(Step::Wait);
        };
        let log = view.membership();
        if log.removed().contains(&self.joining.device) {
            return Err(RecoveryError::Removed);
        }
        if log
            .member(&self.joining.device)
            .is_some_and(|own| own.agreement == self.joining.agreement)
        {
            let account = view
                .bundle()
                .ok_or(RecoveryError::Secret(log.key_epoch()))?;
            let names = vec![(self.joining.device, self.joining.name.clone())];
            return Ok(Step::Done(Account { names, ..account }));
        }
        if self.offered {
            return Ok(Step::Wait);
        }
        if self.appends == APPENDS_MAX {
            return Err(RecoveryError::Protocol(
                "it takes no entry, however often it is signed anew",
            ));
        }
        let append = wire::AppendMembership {
            first: log.count(),
            entries: self.sign(view, rng)?,
        };
        self.appends += 1;
        self.offered = true;
        Ok(Step::Send(DeviceFrame::AppendMembership(append)))
    }

    /// Removals come first: a full account has no room for one more device.
    fn sign(
        &self,
        view: &AccountView,
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<SignedEntry>, RecoveryError> {
        let mut after = view.clone();
        let mut entries = Vec::new();
        let others = view
            .membership()
            .members()
            .iter()
            .filter(|_| self.remove_others);
        for member in others {
            let entry = after.sign_remove(&member.device, rng)?;
            after.append(&entry).map_err(MembershipError::from)?;
            entries.push(entry);
        }
        entries.push(after.sign_add(&self.joining)?);
        Ok(entries)
    }

    fn refused(
        &mut self,
        refusal: Refusal,
        rng: &mut dyn CryptoRng,
    ) -> Result<Step, RecoveryError> {
        if refusal.code != Code::StaleMembership || !self.offered {
            let Refusal {
                code,
                message: text,
                ..
            } = refusal;
            return Err(RecoveryError::Refused { code, text });
        }
        // What is missing is on its way or here already; then it is signed anew.
        self.offered = false;
        self.wanted = self.wanted.max(Some(refusal.expected));
        self.advance(rng)
    }
}

/// The next entry, or one that is known.
fn follow(view: &mut AccountView, index: u64, entry: &SignedEntry) -> Result<(), RecoveryError> {
    let known = usize::try_from(index)
        .ok()
        .and_then(|index| view.entries().get(index));
    if let Some(known) = known {
        return if known == entry {
            Ok(())
        } else {
            Err(RecoveryError::Fork(index))
        };
    }
    if index != view.membership().count() {
        return Err(RecoveryError::Protocol("its log has a hole"));
    }
    view.append(entry)
        .map_err(|cause| RecoveryError::Entry { index, cause })?;
    let key_epoch = view.membership().key_epoch();
    view.epoch_keys(key_epoch)
        .map(|_| ())
        .ok_or(RecoveryError::Secret(key_epoch))
}
