//! Account recovery as a sans-I/O state machine. Frames of the relay go in and frames for it come
//! out until the new device is a member. Nothing is believed unless the recovery key, or a member
//! in turn, has signed it. See docs/reference/protocol.md, section 3.

use std::fmt;

use bytes::Bytes;

use crate::account::{AccountView, MembershipError};
use crate::keys::{DeviceKeys, EpochSecret};
use crate::mnemonic::RecoveryKey;
use crate::pairing::{Account, Joining};
use crate::rng::CryptoRng;
use crate::wrap::{Wrapping, unwrap};
use graceful_protocol::challenge::NONCE_BYTES;
use graceful_protocol::frame::{DeviceFrame, RelayFrame};
use graceful_protocol::membership::{self, InvalidEntry, Membership};
use graceful_protocol::recovery::RecoveryChallenge;
use graceful_protocol::wire::membership_entry::Change;
use graceful_protocol::wire::{self, SignedEntry};
use graceful_protocol::{Code, Refusal, StoreEpoch, VERSION};

/// Retries while other devices change the membership log at the same time.
const APPENDS_MAX: u32 = 16;

/// Why a recovery failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// The relay violates the protocol.
    #[error("relay violated the protocol: {0}")]
    Protocol(&'static str),
    /// An entry does not follow the ones before.
    #[error(
        "relay sent an invalid membership log, entry {index}: {cause}; do not trust this relay"
    )]
    Entry {
        /// Index of the entry.
        index: u64,
        /// Why it is invalid.
        cause: InvalidEntry,
    },
    /// The genesis entry belongs to another account.
    #[error(
        "relay sent an account that this recovery phrase did not create; do not trust \
         this relay"
    )]
    OtherAccount,
    /// The relay showed two different entries at one index.
    #[error("relay sent two different membership entries {0}; do not trust this relay")]
    Fork(u64),
    /// The secret wrapped to the recovery key does not open.
    #[error(
        "secret of key epoch {0} does not open with this recovery phrase: the device \
         that created it wrapped another secret; pair from a working device instead"
    )]
    Secret(u32),
    /// The connection ended before the log was complete.
    #[error("connection ended after {shown} of {wanted} membership entries; retry")]
    Incomplete {
        /// Entries received.
        shown: u64,
        /// Entries announced.
        wanted: u64,
    },
    /// Another device removed the device that an earlier attempt added.
    #[error("another device removed this one during the recovery; retry with new keys")]
    Removed,
    /// The relay refused.
    #[error("relay refused: {message}")]
    Refused {
        /// Machine-readable code.
        code: Code,
        /// Human-readable message.
        message: String,
    },
    /// The log rejects the new device.
    #[error(transparent)]
    Membership(#[from] MembershipError),
}

/// The next action.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Wait for more frames.
    Wait,
    /// Send this frame.
    Send(DeviceFrame),
    /// The relay has stored the new device's entry. This is the account.
    Done(Account),
}

/// One recovery attempt over one connection.
pub struct Recovery {
    recovery: DeviceKeys,
    joining: Joining,
    /// Whether all other devices are removed in the same step.
    remove_others: bool,
    /// The dialled host: lower case, no port, no brackets.
    host: String,
    greeted: bool,
    /// Length of the complete log, once known.
    wanted: Option<u64>,
    /// The log so far, as the recovery key sees it.
    view: Option<AccountView>,
    /// Whether an append is in flight.
    append_in_flight: bool,
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
    /// Starts an attempt on a new connection. `joining` becomes a member, the only one if
    /// `remove_others`.
    pub fn new(key: &RecoveryKey, joining: Joining, remove_others: bool, host: &str) -> Self {
        Self {
            recovery: key.keys(),
            joining,
            remove_others,
            host: host.to_ascii_lowercase(),
            greeted: false,
            wanted: None,
            view: None,
            append_in_flight: false,
            appends: 0,
        }
    }

    /// Handles a frame from the relay.
    ///
    /// # Errors
    /// [`RecoveryError`] ends the attempt.
    pub fn handle_frame(
        &mut self,
        frame: RelayFrame,
        rng: &mut dyn CryptoRng,
    ) -> Result<Step, RecoveryError> {
        match frame {
            RelayFrame::Refusal(refusal) => self.handle_refusal(refusal.into(), rng),
            RelayFrame::Greeting(greeting) if !self.greeted => self.handle_greeting(&greeting),
            RelayFrame::RecoveryAccepted(recovering) if self.greeted && self.wanted.is_none() => {
                self.wanted = Some(recovering.membership_count.max(1));
                Ok(Step::Wait)
            }
            RelayFrame::Membership(membership) if self.wanted.is_some() => {
                self.handle_membership(membership)?;
                self.advance(rng)
            }
            RelayFrame::Pong(_) => Ok(Step::Wait),
            _ => Err(RecoveryError::Protocol("frame out of order")),
        }
    }

    /// Returns why a connection that ends now leaves the recovery incomplete, if known.
    pub fn interruption(&self) -> Option<RecoveryError> {
        let wanted = self.wanted?;
        let shown = self
            .view
            .as_ref()
            .map_or(0, |view| view.membership().count());
        (shown < wanted).then_some(RecoveryError::Incomplete { shown, wanted })
    }

    fn handle_greeting(&mut self, greeting: &wire::Greeting) -> Result<Step, RecoveryError> {
        let (Ok(epoch), NONCE_BYTES) =
            (StoreEpoch::try_from(&*greeting.epoch), greeting.nonce.len())
        else {
            return Err(RecoveryError::Protocol("malformed greeting"));
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

    fn handle_membership(&mut self, membership: wire::Membership) -> Result<(), RecoveryError> {
        for (step, entry) in (0..).zip(&membership.entries) {
            let index = membership.first.saturating_add(step);
            match &mut self.view {
                None if index == 0 => self.view = Some(self.verify_genesis(entry)?),
                None => {
                    return Err(RecoveryError::Protocol(
                        "membership log without its first entry",
                    ));
                }
                Some(view) => append_or_verify(view, index, entry)?,
            }
        }
        Ok(())
    }

    /// Verifies the genesis entry: the recovery key must have signed it.
    fn verify_genesis(&self, entry: &SignedEntry) -> Result<AccountView, RecoveryError> {
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

    /// Completes the recovery or adds the device, once the log is complete.
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
        if self.append_in_flight {
            return Ok(Step::Wait);
        }
        if self.appends == APPENDS_MAX {
            return Err(RecoveryError::Protocol(
                "membership entry rejected repeatedly",
            ));
        }
        let append = wire::AppendMembership {
            first: log.count(),
            entries: self.sign(view, rng)?,
        };
        self.appends += 1;
        self.append_in_flight = true;
        Ok(Step::Send(DeviceFrame::AppendMembership(append)))
    }

    /// Removals come first: a full account cannot take one more device.
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

    fn handle_refusal(
        &mut self,
        refusal: Refusal,
        rng: &mut dyn CryptoRng,
    ) -> Result<Step, RecoveryError> {
        if refusal.code != Code::StaleMembership || !self.append_in_flight {
            let Refusal { code, message, .. } = refusal;
            return Err(RecoveryError::Refused { code, message });
        }
        // The missing entries are here or on their way. The append is signed again on top.
        self.append_in_flight = false;
        self.wanted = self.wanted.max(Some(refusal.expected));
        self.advance(rng)
    }
}

/// Appends the next entry, or verifies a known one.
fn append_or_verify(
    view: &mut AccountView,
    index: u64,
    entry: &SignedEntry,
) -> Result<(), RecoveryError> {
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
        return Err(RecoveryError::Protocol("gap in the membership log"));
    }
    view.append(entry)
        .map_err(|cause| RecoveryError::Entry { index, cause })?;
    let key_epoch = view.membership().key_epoch();
    view.epoch_keys(key_epoch)
        .map(|_| ())
        .ok_or(RecoveryError::Secret(key_epoch))
}
