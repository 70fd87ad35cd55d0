//! The first frame: authentication, account creation and joining.

use bytes::Bytes;

use graceful_protocol::challenge::Challenge;
use graceful_protocol::frame::{DeviceFrame, RelayFrame};
use graceful_protocol::limits::{HOST_BYTES_MAX, INVITE_BYTES_MAX};
use graceful_protocol::membership::Membership;
use graceful_protocol::wire::{self, Authenticate, CreateAccount, JoinRendezvous, SignedEntry};
use graceful_protocol::{AccountId, Code, DeviceKey, Refusal, RendezvousId, VERSION, membership};

use super::super::command::{Command, DeviceState, Outcome, invite_hash};
use super::super::membership::Registration;
use super::delivery::Delivery;
use super::{Output, PendingReply, Phase, Session, SessionConfig};

/// A device's claim of identity and whether it is proven.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) account: AccountId,
    pub(super) device: DeviceKey,
    proven: bool,
    membership_count: u64,
    /// The device's own log, in case the relay lost entries.
    entries: Vec<SignedEntry>,
}

impl Claim {
    pub(super) fn is_proven(&self) -> bool {
        self.proven
    }
}

/// A key without a private key: the field elements end before it.
pub(super) const NO_DEVICE: DeviceKey = DeviceKey::new([0xff; 32]);

/// Returns whether the device signed this genesis entry itself; other devices must not learn
/// whether the account exists. An undecodable entry passes, since the store refuses it.
fn is_creator(entry: &SignedEntry, device: &DeviceKey) -> bool {
    membership::open(entry).map_or(true, |inside| *inside.author == *device.as_bytes())
}

/// Returns whether this is a complete, validly signed log of the account that includes the device.
fn proves_membership(log: &[SignedEntry], claim: &Claim) -> bool {
    Membership::replay(log).is_ok_and(|membership| {
        membership.account() == claim.account && membership.member(&claim.device).is_some()
    })
}

/// Returns the first frame of a session.
pub(super) fn greeting(config: &SessionConfig, nonce: &[u8; 32], wall_ms: u64) -> RelayFrame {
    let registration = match config.registration {
        Registration::Open => wire::Registration::Open,
        Registration::Invite => wire::Registration::Invite,
        Registration::Closed => wire::Registration::Closed,
    };
    RelayFrame::Greeting(wire::Greeting {
        relay_id: config.relay_id.to_wire(),
        version_min: VERSION,
        version_max: VERSION,
        epoch: config.epoch.to_wire(),
        nonce: Bytes::copy_from_slice(nonce),
        time_ms: wall_ms,
        limits: Some((&config.limits).into()),
        software: concat!("graceful-relay/", env!("CARGO_PKG_VERSION")).into(),
        registration: registration.into(),
    })
}

impl Session {
    pub(super) fn open(&mut self, frame: DeviceFrame) {
        let opened = match frame {
            DeviceFrame::Authenticate(authenticate) => self.authenticate(authenticate),
            DeviceFrame::CreateAccount(found) => self.create_account(found),
            DeviceFrame::JoinRendezvous(join) => self.join(join),
            DeviceFrame::RecoverAccount(recover) => self.recover(&recover),
            _ => Err(Refusal::new(
                Code::UnexpectedFrame,
                "the first frame must authenticate, create an account, join or recover",
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

    /// Checks everything that needs no store access. A wrong signature is only recorded, so that it
    /// takes the same path and the same time as an unknown device. The time depends on the input,
    /// never on stored data.
    fn check(&self, authenticate: Authenticate) -> Result<Claim, Refusal> {
        self.check_version(authenticate.version)?;
        self.check_host(&authenticate.host)?;
        let malformed =
            |error: graceful_protocol::InvalidId| Refusal::new(Code::Malformed, error.to_string());
        let account = AccountId::try_from(&*authenticate.account).map_err(malformed)?;
        let device = DeviceKey::try_from(&*authenticate.device).map_err(malformed)?;
        let challenge = Challenge {
            nonce: &self.nonce,
            epoch: self.config.epoch,
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
            "the relay speaks protocol version {VERSION}, the device version {version}; update the older one"
        );
        Err(Refusal::new(Code::VersionUnsupported, text).expected(u64::from(VERSION)))
    }

    pub(super) fn check_host(&self, host: &str) -> Result<(), Refusal> {
        if host.len() <= HOST_BYTES_MAX && self.config.server_names.contains(host) {
            return Ok(());
        }
        let text = "the relay does not serve the host name that was dialled; \
                    its operator can add the name to `server.domains` in its config";
        Err(Refusal::new(Code::WrongHost, text))
    }

    fn create_account(&mut self, found: CreateAccount) -> Result<(), Refusal> {
        let missing = || {
            Refusal::new(
                Code::Malformed,
                "CreateAccount needs an entry and an authentication",
            )
        };
        let (Some(authenticate), Some(entry)) = (found.authenticate, found.entry) else {
            return Err(missing());
        };
        if found.invite.len() > INVITE_BYTES_MAX {
            return Err(Refusal::new(Code::Malformed, "the invitation is too long"));
        }
        let claim = self.check(authenticate)?;
        if claim.account != membership::account_id(&entry) {
            let text = "the account id is not the hash of the genesis entry";
            return Err(Refusal::new(Code::Malformed, text));
        }
        if !claim.proven || !is_creator(&entry, &claim.device) {
            return Err(Refusal::not_a_member());
        }
        let invite = (!found.invite.is_empty()).then(|| invite_hash(&found.invite));
        let by = claim.device;
        self.phase = Phase::LookingUpDevice(Box::new(claim));
        self.commit(
            Command::CreateAccount { entry, by, invite },
            PendingReply::CreateAccount,
        );
        Ok(())
    }

    pub(super) fn on_account_created(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Refused(refusal) => self.refuse_opening(refusal),
            _ => self.look_up_again(),
        }
    }

    pub(super) fn on_membership_restored(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Refused(_) => self.refuse(Refusal::not_a_member()),
            _ => self.look_up_again(),
        }
    }

    fn look_up_again(&mut self) {
        if let Some(claim) = self.take_claim() {
            self.find(claim);
        }
    }

    /// Takes the pending claim. A closed session stays closed.
    fn take_claim(&mut self) -> Option<Claim> {
        match std::mem::replace(&mut self.phase, Phase::Unauthenticated) {
            Phase::LookingUpDevice(claim) => Some(*claim),
            other => {
                self.phase = other;
                None
            }
        }
    }

    /// Refuses a handshake and closes the session, whatever the code.
    fn refuse_opening(&mut self, refusal: Refusal) {
        let text = refusal.message.clone();
        self.refuse(refusal);
        if !self.is_closed() {
            self.phase = Phase::Closed;
            self.outputs.push_back(Output::Close { code: 4400, text });
        }
    }

    pub(super) fn admit(&mut self, device_state: Option<DeviceState>) {
        let Some(claim) = self.take_claim() else {
            return;
        };
        match device_state {
            Some(device_state) if claim.proven => {
                self.welcome(&device_state, claim.membership_count)
            }
            None if claim.proven && !claim.entries.is_empty() => self.restore_membership(claim),
            _ => self.refuse(Refusal::not_a_member()),
        }
    }

    /// Handles an unknown device that offers a log: the relay may have been restored from before
    /// the device joined. Tried once. Without a log that proves membership the store is not read,
    /// so that a stranger cannot measure whether the account exists.
    fn restore_membership(&mut self, mut claim: Claim) {
        let entries = std::mem::take(&mut claim.entries);
        let bounded = entries.len() <= self.config.limits.membership_entries_max as usize;
        if !bounded || !proves_membership(&entries, &claim) {
            return self.refuse(Refusal::not_a_member());
        }
        let account = claim.account;
        self.phase = Phase::LookingUpDevice(Box::new(claim));
        self.commit(
            Command::RestoreMembership { account, entries },
            PendingReply::RestoreMembership,
        );
    }

    fn welcome(&mut self, device_state: &DeviceState, known_entries: u64) {
        self.send(RelayFrame::Welcome(wire::Welcome {
            device_index: u64::from(device_state.member.device.0),
            head: device_state.head,
            cursor: device_state.cursor,
            push_number: device_state.push_number,
            stored_bytes: device_state.stored_bytes,
            stored_envelopes: device_state.stored_envelopes,
            membership_count: device_state.membership_count,
            chain: device_state.chain.to_wire(),
        }));
        let known_entries = known_entries.min(device_state.membership_count);
        self.phase = Phase::Authenticated(Box::new(Delivery::new(device_state, known_entries)));
        self.fetch();
    }

    fn join(&mut self, join: JoinRendezvous) -> Result<(), Refusal> {
        let id = self.check_rendezvous(&join.id, &join.sealed)?;
        self.phase = Phase::AwaitingRendezvousReply;
        self.outputs.push_back(Output::JoinRendezvous {
            id,
            sealed: join.sealed,
        });
        Ok(())
    }

    pub(super) fn check_rendezvous(
        &self,
        id: &[u8],
        sealed: &[u8],
    ) -> Result<RendezvousId, Refusal> {
        if sealed.len() > self.config.limits.rendezvous_bytes_max as usize {
            return Err(Refusal::new(
                Code::FrameTooLarge,
                "the message exceeds rendezvous_bytes_max",
            ));
        }
        RendezvousId::try_from(id).map_err(|error| Refusal::new(Code::Malformed, error.to_string()))
    }

    /// Handles the reply of the rendezvous owner.
    pub fn on_rendezvous_reply(&mut self, id: RendezvousId, sealed: Bytes) {
        if matches!(self.phase, Phase::AwaitingRendezvousReply) {
            self.send(RelayFrame::RendezvousMessage(wire::RendezvousMessage {
                id: id.to_wire(),
                sealed,
            }));
            self.close("rendezvous complete");
        }
    }

    /// Handles an unknown, used or expired rendezvous.
    pub fn on_rendezvous_closed(&mut self) {
        if matches!(self.phase, Phase::AwaitingRendezvousReply) {
            let text = "the pairing link is unknown, used or expired; create a new one on the other device";
            self.refuse(Refusal::new(Code::RendezvousNotFound, text));
        }
    }
}
