//! The first frame: who is it?

use bytes::Bytes;

use graceful_protocol::challenge::Challenge;
use graceful_protocol::frame::{DeviceFrame, RelayFrame};
use graceful_protocol::limits::{HOST_BYTES_MAX, INVITE_BYTES_MAX};
use graceful_protocol::membership::Membership;
use graceful_protocol::wire::{self, Authenticate, Found, JoinRendezvous, SignedEntry};
use graceful_protocol::{AccountId, Code, DeviceKey, Refusal, RendezvousId, VERSION, membership};

use super::super::change::{Change, Outcome, Standing, invite_hash};
use super::super::membership::Registration;
use super::delivery::Delivery;
use super::{Awaited, Conversation, Phase, Request, Terms};

/// Who a device says it is, and whether it proved that.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) account: AccountId,
    pub(super) device: DeviceKey,
    proven: bool,
    membership_count: u64,
    /// Offered in case the relay lost them.
    entries: Vec<SignedEntry>,
}

impl Claim {
    pub(super) fn is_proven(&self) -> bool {
        self.proven
    }
}

/// No private key belongs to this one: the numbers of the field end before it.
pub(super) const NOBODY: DeviceKey = DeviceKey::new([0xff; 32]);

/// Whether the founding entry is this device's own. Nobody else is told whether there is such an
/// account. What is no entry founds nothing, and the store says so.
fn is_founder(entry: &SignedEntry, device: &DeviceKey) -> bool {
    membership::open(entry).map_or(true, |inside| *inside.author == *device.as_bytes())
}

/// Whether this is a whole log of the account, every signature right, with the device in it.
fn makes_member(log: &[SignedEntry], claim: &Claim) -> bool {
    Membership::replay(log).is_ok_and(|membership| {
        membership.account() == claim.account && membership.member(&claim.device).is_some()
    })
}

/// The frame that opens every conversation.
pub(super) fn greeting(terms: &Terms, nonce: &[u8; 32], wall_ms: u64) -> RelayFrame {
    let registration = match terms.registration {
        Registration::Open => wire::Registration::Open,
        Registration::Invite => wire::Registration::Invite,
        Registration::Closed => wire::Registration::Closed,
    };
    RelayFrame::Greeting(wire::Greeting {
        relay_id: terms.relay_id.to_wire(),
        version_min: VERSION,
        version_max: VERSION,
        epoch: terms.epoch.to_wire(),
        nonce: Bytes::copy_from_slice(nonce),
        time_ms: wall_ms,
        limits: Some((&terms.limits).into()),
        software: concat!("graceful-relay/", env!("CARGO_PKG_VERSION")).into(),
        registration: registration.into(),
    })
}

impl Conversation {
    pub(super) fn open(&mut self, frame: DeviceFrame) {
        let opened = match frame {
            DeviceFrame::Authenticate(authenticate) => self.authenticate(authenticate),
            DeviceFrame::Found(found) => self.found_account(found),
            DeviceFrame::JoinRendezvous(join) => self.join(join),
            DeviceFrame::Recover(recover) => self.recover(&recover),
            _ => Err(Refusal::new(
                Code::Unexpected,
                "the first frame must say who this is",
            )),
        };
        if let Err(refusal) = opened {
            self.refuse(refusal);
        }
    }

    fn authenticate(&mut self, authenticate: Authenticate) -> Result<(), Refusal> {
        let claim = self.check(authenticate)?;
        self.find(claim);
        Ok(())
    }

    /// Everything that can be checked without the store. A wrong signature is only noted, so that
    /// it takes the same road, and the same time, as an unknown device. How long this takes depends
    /// on what was sent, and not on what is kept.
    fn check(&self, authenticate: Authenticate) -> Result<Claim, Refusal> {
        self.check_version(authenticate.version)?;
        self.check_host(&authenticate.host)?;
        let malformed =
            |error: graceful_protocol::InvalidId| Refusal::new(Code::Malformed, error.to_string());
        let account = AccountId::try_from(&*authenticate.account).map_err(malformed)?;
        let device = DeviceKey::try_from(&*authenticate.device).map_err(malformed)?;
        let challenge = Challenge {
            nonce: &self.nonce,
            epoch: self.terms.epoch,
            host: &authenticate.host,
            account,
            device,
        };
        Ok(Claim {
            account,
            device,
            proven: challenge.verify(&authenticate.signature),
            membership_count: authenticate.membership_count,
            entries: authenticate.entries,
        })
    }

    pub(super) fn check_version(&self, version: u32) -> Result<(), Refusal> {
        if version == VERSION {
            return Ok(());
        }
        let text = format!(
            "this relay speaks version {VERSION} of the protocol, the device version {version}; update the older one"
        );
        Err(Refusal::new(Code::VersionUnsupported, text).expected(u64::from(VERSION)))
    }

    pub(super) fn check_host(&self, host: &str) -> Result<(), Refusal> {
        if host.len() <= HOST_BYTES_MAX && self.terms.hosts.contains(host) {
            return Ok(());
        }
        let text = "this relay does not go by the name that was dialled; \
                    whoever runs it can add the name to `server.names` in its config";
        Err(Refusal::new(Code::WrongHost, text))
    }

    fn found_account(&mut self, found: Found) -> Result<(), Refusal> {
        let missing = || {
            Refusal::new(
                Code::Malformed,
                "a founding needs an entry and an authentication",
            )
        };
        let (Some(authenticate), Some(entry)) = (found.authenticate, found.entry) else {
            return Err(missing());
        };
        if found.invite.len() > INVITE_BYTES_MAX {
            return Err(Refusal::new(
                Code::Malformed,
                "an invitation is shorter than this",
            ));
        }
        let claim = self.check(authenticate)?;
        if claim.account != membership::account_id(&entry) {
            let text = "the account's id must be the hash of its founding entry";
            return Err(Refusal::new(Code::Malformed, text));
        }
        if !claim.proven || !is_founder(&entry, &claim.device) {
            return Err(Refusal::not_a_member());
        }
        let invite = (!found.invite.is_empty()).then(|| invite_hash(&found.invite));
        let by = claim.device;
        self.phase = Phase::Admitting(Box::new(claim));
        self.commit(Change::Found { entry, by, invite }, Awaited::Found);
        Ok(())
    }

    pub(super) fn founded(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Refused(refusal) => self.refuse_opening(refusal),
            _ => self.find_again(),
        }
    }

    pub(super) fn regained(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Refused(_) => self.refuse(Refusal::not_a_member()),
            _ => self.find_again(),
        }
    }

    fn find_again(&mut self) {
        if let Some(claim) = self.take_claim() {
            self.find(claim);
        }
    }

    /// The claim under examination. A conversation that is over stays over.
    fn take_claim(&mut self) -> Option<Claim> {
        match std::mem::replace(&mut self.phase, Phase::Opening) {
            Phase::Admitting(claim) => Some(*claim),
            other => {
                self.phase = other;
                None
            }
        }
    }

    /// A refused opening ends the conversation, whatever the code.
    fn refuse_opening(&mut self, refusal: Refusal) {
        let text = refusal.text.clone();
        self.refuse(refusal);
        if !self.is_over() {
            self.phase = Phase::Over;
            self.requests.push_back(Request::Close { code: 4400, text });
        }
    }

    pub(super) fn admit(&mut self, standing: Option<Standing>) {
        let Some(claim) = self.take_claim() else {
            return;
        };
        match standing {
            Some(standing) if claim.proven => self.welcome(&standing, claim.membership_count),
            None if claim.proven && !claim.entries.is_empty() => self.regain(claim),
            _ => self.refuse(Refusal::not_a_member()),
        }
    }

    /// The device is unknown, but offers a log in which the relay may see that it was restored from
    /// before the device joined. Tried once. Without a log that makes it a member the store is not
    /// asked, so that a stranger cannot measure whether there is an account to compare with.
    fn regain(&mut self, mut claim: Claim) {
        let entries = std::mem::take(&mut claim.entries);
        let bounded = entries.len() <= self.terms.limits.membership_entries_max as usize;
        if !bounded || !makes_member(&entries, &claim) {
            return self.refuse(Refusal::not_a_member());
        }
        let account = claim.account;
        self.phase = Phase::Admitting(Box::new(claim));
        self.commit(Change::Regain { account, entries }, Awaited::Regain);
    }

    fn welcome(&mut self, standing: &Standing, known_entries: u64) {
        self.send(RelayFrame::Welcome(wire::Welcome {
            ordinal: u64::from(standing.whose.device.0),
            head: standing.head,
            cursor: standing.cursor,
            push_number: standing.push_number,
            bytes_kept: standing.bytes_kept,
            envelopes_kept: standing.envelopes_kept,
            membership_count: standing.membership_count,
            chain: standing.chain.to_wire(),
        }));
        let known_entries = known_entries.min(standing.membership_count);
        self.phase = Phase::Ready(Box::new(Delivery::new(standing, known_entries)));
        self.look();
    }

    fn join(&mut self, join: JoinRendezvous) -> Result<(), Refusal> {
        let id = self.check_slot(&join.id, &join.sealed)?;
        self.phase = Phase::Joining;
        self.requests.push_back(Request::JoinSlot {
            id,
            sealed: join.sealed,
        });
        Ok(())
    }

    pub(super) fn check_slot(&self, id: &[u8], sealed: &[u8]) -> Result<RendezvousId, Refusal> {
        if sealed.len() > self.terms.limits.rendezvous_bytes_max as usize {
            return Err(Refusal::new(
                Code::TooLarge,
                "more than may go through a rendezvous",
            ));
        }
        RendezvousId::try_from(id).map_err(|error| Refusal::new(Code::Malformed, error.to_string()))
    }

    /// The owner of the slot answered this joining device.
    pub fn answered(&mut self, id: RendezvousId, sealed: Bytes) {
        if matches!(self.phase, Phase::Joining) {
            self.send(RelayFrame::RendezvousMessage(wire::RendezvousMessage {
                id: id.to_wire(),
                sealed,
            }));
            self.close("the rendezvous is over");
        }
    }

    /// There is no such slot, or its owner is gone.
    pub fn slot_over(&mut self) {
        if matches!(self.phase, Phase::Joining) {
            let text =
                "this pairing link is unknown, used or too old; make a new one on the other device";
            self.refuse(Refusal::new(Code::NoRendezvous, text));
        }
    }
}
