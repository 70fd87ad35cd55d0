//! One session with a device, from greeting to close, as a machine without sockets or disk:
//! what arrives goes in by the methods below, what is to be done comes out of [`Session::poll_output`]
//! in order. Whoever drives it (a session, an exchange, a simulation) does as told and reports back.

mod delivery;
mod handshake;
mod recovery;
mod requests;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use graceful_protocol::frame::{DeviceFrame, RelayFrame};
use graceful_protocol::wire;
use graceful_protocol::{
    AccountId, Code, DeviceKey, Limits, Refusal, RelayId, RendezvousId, StoreEpoch, close_code,
};

use super::AccountNumber;
use super::command::{AccountVersion, Command, DeviceState, Fetch, FetchResult, Member, Outcome};
use super::membership::Registration;
use delivery::Delivery;
use handshake::{Claim, NO_DEVICE};
use recovery::Recovery;

/// The names a relay goes by. A device signs the name that it dialled, so that an answer given to
/// one relay is worth nothing at another.
#[derive(Debug, Clone, Default)]
pub struct ServerNames(Vec<String>);

impl ServerNames {
    /// Names as a device would dial them. None: only this machine's own loopback names.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self(
            names
                .into_iter()
                .map(|name| name.to_ascii_lowercase())
                .collect(),
        )
    }

    /// One of them, if any were given.
    pub fn first(&self) -> Option<&str> {
        self.0.first().map(String::as_str)
    }

    /// Whether `host` is one of them.
    pub fn contains(&self, host: &str) -> bool {
        if self.0.is_empty() {
            return host == "localhost"
                || host
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|address| address.is_loopback());
        }
        self.0.iter().any(|name| name == host)
    }
}

/// What is the same for every session of a relay.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// Which relay.
    pub relay_id: RelayId,
    /// Which history.
    pub epoch: StoreEpoch,
    /// Told in the greeting, and kept to.
    pub limits: Limits,
    /// Who may found accounts.
    pub registration: Registration,
    /// The names it goes by.
    pub server_names: ServerNames,
    /// How long a device may take to say who it is, in milliseconds.
    pub auth_timeout_ms: u64,
}

/// What a session wants done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send a frame.
    Send(RelayFrame),
    /// Fetch up a device: answer with [`Session::on_device_found`].
    FindDevice {
        /// The account it claims.
        account: AccountId,
        /// The key it proved to have, or one that no device has.
        device: DeviceKey,
    },
    /// Fetch up a recovery key: answer with [`Session::on_recovery_key_found`].
    FindRecoveryKey {
        /// The key it showed.
        key: DeviceKey,
    },
    /// Read a membership log: answer with [`Session::on_fetched`].
    FetchMembership {
        /// Member.
        account: AccountNumber,
        /// From this index on.
        entries_from: u64,
    },
    /// Have a change made: answer with [`Session::on_committed`], in order.
    Commit(Command),
    /// Read the account: answer with [`Session::on_fetched`].
    Fetch(Fetch),
    /// Open a slot: answer with [`Session::on_rendezvous_opened`].
    OpenRendezvous {
        /// Its id.
        id: RendezvousId,
        /// In seconds.
        lifetime_s: u32,
    },
    /// Meet the owner of a slot: answer with [`Session::on_rendezvous_reply`] or [`Session::on_rendezvous_closed`].
    JoinRendezvous {
        /// Its id.
        id: RendezvousId,
        /// For the owner.
        sealed: Bytes,
    },
    /// Answer who came to the slot.
    ReplyRendezvous {
        /// Its id.
        id: RendezvousId,
        /// For the device that joins.
        sealed: Bytes,
    },
    /// End the connection. Nothing follows.
    Close {
        /// WebSocket close code.
        code: u16,
        /// For people.
        text: String,
    },
}

/// Where it stands.
#[derive(Debug)]
enum Phase {
    /// Greeted; who is it?
    Unauthenticated,
    /// It says who it is, and that is being looked up.
    LookingUpDevice(Box<Claim>),
    /// Known.
    Authenticated(Box<Delivery>),
    /// It shows a recovery key, and that is being looked up.
    LookingUpRecoveryKey { key: DeviceKey, proven: bool },
    /// A known recovery key.
    Recovering(Recovery),
    /// A new device, waiting for the owner of a slot.
    AwaitingRendezvousReply,
    /// Closed or about to be.
    Closed,
}

/// What the outcome of a change will be the answer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PendingReply {
    CreateAccount,
    RestoreMembership,
    Push,
    Ack { through: u64 },
    AppendMembership { first: u64 },
    DeleteThrough,
    DeleteAccount,
    Sweep,
}

/// One session.
#[derive(Debug)]
pub struct Session {
    config: Arc<SessionConfig>,
    nonce: [u8; 32],
    phase: Phase,
    pending: VecDeque<PendingReply>,
    outputs: VecDeque<Output>,
    started_ms: u64,
    last_activity_ms: u64,
}

impl Session {
    /// Greets. `nonce` must be fresh chance; times are on any monotonic clock.
    pub fn new(config: Arc<SessionConfig>, nonce: [u8; 32], wall_ms: u64, now_ms: u64) -> Self {
        let greeting = handshake::greeting(&config, &nonce, wall_ms);
        let mut session = Self::resume(config, nonce, now_ms);
        session.outputs.push_back(Output::Send(greeting));
        session
    }

    /// Goes on from a greeting given earlier, with its nonce.
    pub fn resume(config: Arc<SessionConfig>, nonce: [u8; 32], now_ms: u64) -> Self {
        Self {
            config,
            nonce,
            phase: Phase::Unauthenticated,
            pending: VecDeque::new(),
            outputs: VecDeque::new(),
            started_ms: now_ms,
            last_activity_ms: now_ms,
        }
    }

    /// The next thing to do.
    #[allow(clippy::should_implement_trait)]
    pub fn poll_output(&mut self) -> Option<Output> {
        let next = self.outputs.pop_front();
        if next.is_none() && self.outputs.capacity() > 0 {
            // It rests now, perhaps for days: memory is asked for again when there is something to do.
            self.outputs = VecDeque::new();
        }
        next
    }

    /// Whether another frame may be given to it now. While not, the socket is not read.
    pub fn wants_frames(&self) -> bool {
        match self.phase {
            Phase::Unauthenticated | Phase::AwaitingRendezvousReply | Phase::Closed => true,
            Phase::LookingUpDevice(_) | Phase::LookingUpRecoveryKey { .. } => false,
            Phase::Authenticated(_) | Phase::Recovering(_) => {
                self.pending.len() < self.config.limits.in_flight_frames_max as usize
            }
        }
    }

    /// Whether everything asked for has been answered and delivered as far as the window allows.
    pub fn is_idle(&self) -> bool {
        match &self.phase {
            Phase::LookingUpDevice(_) | Phase::LookingUpRecoveryKey { .. } => false,
            Phase::Recovering(recovery) => self.pending.is_empty() && !recovery.is_fetching(),
            Phase::Authenticated(delivery) => self.pending.is_empty() && !delivery.is_fetching(),
            Phase::Unauthenticated | Phase::AwaitingRendezvousReply | Phase::Closed => {
                self.pending.is_empty()
            }
        }
    }

    /// Whether it has ended.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Member session it is, once that is known.
    pub fn member(&self) -> Option<Member> {
        match &self.phase {
            Phase::Authenticated(delivery) => Some(delivery.member()),
            _ => None,
        }
    }

    /// Whether the device that is being looked up has proved that it has the key it showed.
    pub fn is_proven(&self) -> bool {
        matches!(&self.phase, Phase::LookingUpDevice(claim) if claim.is_proven())
    }

    /// When [`Session::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<u64> {
        let limits = &self.config.limits;
        let silent = self.last_activity_ms + u64::from(limits.idle_timeout_s) * 1_000;
        match self.phase {
            Phase::Unauthenticated => Some(self.started_ms + self.config.auth_timeout_ms),
            Phase::AwaitingRendezvousReply => {
                Some(silent.min(self.started_ms + u64::from(limits.rendezvous_s_max) * 1_000))
            }
            Phase::Authenticated(_) | Phase::Recovering(_) => Some(silent),
            Phase::LookingUpDevice(_) | Phase::LookingUpRecoveryKey { .. } | Phase::Closed => None,
        }
    }

    /// A frame came from the device.
    pub fn handle_frame(&mut self, frame: DeviceFrame, now_ms: u64) {
        self.last_activity_ms = now_ms;
        match (&self.phase, frame) {
            (
                Phase::Authenticated(_) | Phase::Recovering(_) | Phase::AwaitingRendezvousReply,
                DeviceFrame::Ping(ping),
            ) => {
                self.send(RelayFrame::Pong(wire::Pong {
                    number: ping.number,
                }));
            }
            (Phase::Unauthenticated, frame) => self.open(frame),
            (Phase::Authenticated(_), frame) => self.serve(frame),
            (Phase::Recovering(_), frame) => self.serve_recovery(frame),
            (
                Phase::LookingUpDevice(_)
                | Phase::LookingUpRecoveryKey { .. }
                | Phase::AwaitingRendezvousReply,
                _,
            ) => {
                self.refuse(Refusal::new(
                    Code::UnexpectedFrame,
                    "wait for the answer to the first frame",
                ));
            }
            (Phase::Closed, _) => {}
        }
    }

    /// Bytes came or went, if not yet a whole frame.
    pub fn on_activity(&mut self, now_ms: u64) {
        self.last_activity_ms = now_ms;
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        if self
            .poll_timeout()
            .is_some_and(|deadline_ms| deadline_ms <= now_ms)
        {
            let text = match self.phase {
                Phase::Unauthenticated => "the device did not say who it is in time",
                Phase::AwaitingRendezvousReply => "nobody answered at this rendezvous in time",
                _ => "nothing was heard from the device for too long",
            };
            self.refuse(Refusal::new(Code::Timeout, text).retry_after_ms(1));
        }
    }

    /// What came of the change asked for first of those not yet reported.
    pub fn on_committed(&mut self, outcome: Outcome) {
        let Some(pending) = self.pending.pop_front() else {
            return;
        };
        match pending {
            PendingReply::CreateAccount => self.on_account_created(outcome),
            PendingReply::RestoreMembership => self.on_membership_restored(outcome),
            _ => self.reply_to(pending, outcome),
        }
    }

    /// What is seen of the account.
    pub fn on_fetched(&mut self, view: FetchResult) {
        match view {
            _ if self.is_closed() => {}
            // Closed by this very device: the answer to that is on its way.
            FetchResult::AccountDeleted if self.pending.contains(&PendingReply::DeleteAccount) => {}
            FetchResult::AccountDeleted => self.refuse(Refusal::new(
                Code::AccountDeleted,
                "this account was closed; nothing of it is kept here",
            )),
            FetchResult::NotAMember => {
                self.refuse(Refusal::new(
                    Code::DeviceRemoved,
                    "this device was removed from its account",
                ));
            }
            FetchResult::SweepFirst => self.commit(Command::Sweep, PendingReply::Sweep),
            FetchResult::Corrupted { seq } => {
                if let Some(Member { account, .. }) = self.member() {
                    self.commit(Command::DropCorrupted { account, seq }, PendingReply::Sweep);
                }
            }
            FetchResult::Page(page) if matches!(self.phase, Phase::Recovering(_)) => {
                self.deliver_membership(page)
            }
            FetchResult::Page(page) => self.deliver(page),
        }
    }

    /// Something about the account changed.
    pub fn on_account_changed(&mut self, version: AccountVersion) {
        if let Phase::Authenticated(delivery) = &mut self.phase {
            delivery.on_account_changed(version);
            self.fetch();
        }
        self.on_membership_changed(version);
    }

    /// The relay is about to stop.
    pub fn shut_down(&mut self, retry_after_ms: u64) {
        if !self.is_closed() {
            let text = "the relay is restarting";
            self.refuse(Refusal::new(Code::Restarting, text).retry_after_ms(retry_after_ms));
        }
    }

    /// Says no; ends the session where the code asks for it.
    pub fn refuse(&mut self, refusal: Refusal) {
        if self.is_closed() {
            return;
        }
        let close = close_code(refusal.code).map(|code| Output::Close {
            code,
            text: refusal.message.clone(),
        });
        self.send(RelayFrame::Refusal(refusal.into()));
        if let Some(close) = close {
            self.phase = Phase::Closed;
            self.outputs.push_back(close);
        }
    }

    fn close(&mut self, text: &str) {
        self.phase = Phase::Closed;
        self.outputs.push_back(Output::Close {
            code: 1000,
            text: text.to_owned(),
        });
    }

    fn send(&mut self, frame: RelayFrame) {
        if !self.is_closed() {
            self.outputs.push_back(Output::Send(frame));
        }
    }

    fn commit(&mut self, command: Command, pending: PendingReply) {
        self.pending.push_back(pending);
        self.outputs.push_back(Output::Commit(command));
    }

    fn find(&mut self, claim: Claim) {
        // Who proved nothing is looked up as a device that nobody is: its own place is not touched.
        let device = if claim.is_proven() {
            claim.device
        } else {
            NO_DEVICE
        };
        self.outputs.push_back(Output::FindDevice {
            account: claim.account,
            device,
        });
        self.phase = Phase::LookingUpDevice(Box::new(claim));
    }

    /// The answer to [`Output::FindDevice`].
    pub fn on_device_found(&mut self, device_state: Option<DeviceState>) {
        self.admit(device_state);
    }
}
