//! The session with one device, from greeting to close, as a sans-I/O state machine.
//!
//! Input goes in by `handle_*` and `on_*`; the driver executes what [`Session::poll_output`]
//! returns, in order, and reports the results. The relay's session driver, the exchange and the
//! simulation are drivers.

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

/// Host names of the relay. A device signs the name it dialled, so its answer is worthless at
/// another relay.
#[derive(Debug, Clone, Default)]
pub struct ServerNames(Vec<String>);

impl ServerNames {
    /// Creates the list of names as devices dial them. Empty: loopback names only.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self(
            names
                .into_iter()
                .map(|name| name.to_ascii_lowercase())
                .collect(),
        )
    }

    /// Returns the first configured name.
    pub fn first(&self) -> Option<&str> {
        self.0.first().map(String::as_str)
    }

    /// Returns whether `host` is a name of this relay.
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

/// Configuration shared by all sessions of a relay.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// Identity of the relay.
    pub relay_id: RelayId,
    /// Current store epoch.
    pub epoch: StoreEpoch,
    /// Limits, as announced in the greeting.
    pub limits: Limits,
    /// Registration policy.
    pub registration: Registration,
    /// Host names of the relay.
    pub server_names: ServerNames,
    /// Time limit for authentication, in milliseconds.
    pub auth_timeout_ms: u64,
}

/// An action for the driver.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send a frame.
    Send(RelayFrame),
    /// Look up a device; answer with [`Session::on_device_found`].
    FindDevice {
        /// The claimed account.
        account: AccountId,
        /// The proven key, or a key that no device has.
        device: DeviceKey,
    },
    /// Look up a recovery key; answer with [`Session::on_recovery_key_found`].
    FindRecoveryKey {
        /// The claimed key.
        key: DeviceKey,
    },
    /// Read a membership log; answer with [`Session::on_fetched`].
    FetchMembership {
        /// Account number.
        account: AccountNumber,
        /// First index.
        entries_from: u64,
    },
    /// Commit a command; answer with [`Session::on_committed`], in order.
    Commit(Command),
    /// Read the account; answer with [`Session::on_fetched`].
    Fetch(Fetch),
    /// Open a rendezvous; answer with [`Session::on_rendezvous_opened`].
    OpenRendezvous {
        /// Rendezvous id.
        id: RendezvousId,
        /// Lifetime in seconds.
        lifetime_s: u32,
    },
    /// Join a rendezvous; answer with [`Session::on_rendezvous_reply`] or
    /// [`Session::on_rendezvous_closed`].
    JoinRendezvous {
        /// Rendezvous id.
        id: RendezvousId,
        /// Message for the owner.
        sealed: Bytes,
    },
    /// Reply to the device that joined the rendezvous.
    ReplyRendezvous {
        /// Rendezvous id.
        id: RendezvousId,
        /// Message for the joining device.
        sealed: Bytes,
    },
    /// Close the connection. The last output.
    Close {
        /// WebSocket close code.
        code: u16,
        /// Human-readable reason.
        text: String,
    },
}

/// The phase of a session.
#[derive(Debug)]
enum Phase {
    /// Greeting sent; waiting for the first frame.
    Unauthenticated,
    /// Waiting for the lookup of the claimed device.
    LookingUpDevice(Box<Claim>),
    /// The device is authenticated.
    Authenticated(Box<Delivery>),
    /// Waiting for the lookup of a recovery key.
    LookingUpRecoveryKey { key: DeviceKey, proven: bool },
    /// The recovery key is authenticated.
    Recovering(Recovery),
    /// A joining device waits for the rendezvous owner.
    AwaitingRendezvousReply,
    /// Closed, or Close is queued.
    Closed,
}

/// What the outcome of a command will answer.
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

/// A session with one device.
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
    /// Creates a session and queues the greeting. `nonce` must be random; times are on any
    /// monotonic clock.
    pub fn new(config: Arc<SessionConfig>, nonce: [u8; 32], wall_ms: u64, now_ms: u64) -> Self {
        let greeting = handshake::greeting(&config, &nonce, wall_ms);
        let mut session = Self::resume(config, nonce, now_ms);
        session.outputs.push_back(Output::Send(greeting));
        session
    }

    /// Continues a session from an earlier greeting and its nonce.
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

    /// Returns the next action.
    #[allow(clippy::should_implement_trait)]
    pub fn poll_output(&mut self) -> Option<Output> {
        let next = self.outputs.pop_front();
        if next.is_none() && self.outputs.capacity() > 0 {
            // The session may stay idle for days, so it releases the buffer.
            self.outputs = VecDeque::new();
        }
        next
    }

    /// Returns whether the session accepts another frame. Until then the driver does not read the
    /// socket.
    pub fn wants_frames(&self) -> bool {
        match self.phase {
            Phase::Unauthenticated | Phase::AwaitingRendezvousReply | Phase::Closed => true,
            Phase::LookingUpDevice(_) | Phase::LookingUpRecoveryKey { .. } => false,
            Phase::Authenticated(_) | Phase::Recovering(_) => {
                self.pending.len() < self.config.limits.in_flight_frames_max as usize
            }
        }
    }

    /// Returns whether all commands are answered and everything that fits the window is delivered.
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

    /// Returns whether the session is closed.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Returns the authenticated device.
    pub fn member(&self) -> Option<Member> {
        match &self.phase {
            Phase::Authenticated(delivery) => Some(delivery.member()),
            _ => None,
        }
    }

    /// Returns whether the device being looked up has proven its key.
    pub fn is_proven(&self) -> bool {
        matches!(&self.phase, Phase::LookingUpDevice(claim) if claim.is_proven())
    }

    /// Returns when [`Session::handle_timeout`] is due.
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

    /// Handles a frame from the device.
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
                    "the first frame is not answered yet",
                ));
            }
            (Phase::Closed, _) => {}
        }
    }

    /// Records traffic that is not a whole frame yet.
    pub fn on_activity(&mut self, now_ms: u64) {
        self.last_activity_ms = now_ms;
    }

    /// Handles the passage of time.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        if self
            .poll_timeout()
            .is_some_and(|deadline_ms| deadline_ms <= now_ms)
        {
            let text = match self.phase {
                Phase::Unauthenticated => "authentication timed out",
                Phase::AwaitingRendezvousReply => "the rendezvous timed out",
                _ => "idle timeout",
            };
            self.refuse(Refusal::new(Code::Timeout, text).retry_after_ms(1));
        }
    }

    /// Handles the outcome of the oldest unanswered command.
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

    /// Handles the result of a fetch.
    pub fn on_fetched(&mut self, view: FetchResult) {
        match view {
            _ if self.is_closed() => {}
            // Deleted by this device: the answer is already queued.
            FetchResult::AccountDeleted if self.pending.contains(&PendingReply::DeleteAccount) => {}
            FetchResult::AccountDeleted => self.refuse(Refusal::new(
                Code::AccountDeleted,
                "this account was deleted",
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

    /// Handles a change of the account.
    pub fn on_account_changed(&mut self, version: AccountVersion) {
        if let Phase::Authenticated(delivery) = &mut self.phase {
            delivery.on_account_changed(version);
            self.fetch();
        }
        self.on_membership_changed(version);
    }

    /// Refuses further service because the relay is stopping.
    pub fn shut_down(&mut self, retry_after_ms: u64) {
        if !self.is_closed() {
            let text = "the relay is restarting";
            self.refuse(Refusal::new(Code::Restarting, text).retry_after_ms(retry_after_ms));
        }
    }

    /// Sends a refusal and closes the session if the code requires it.
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
        // An unproven claim is looked up as a device that does not exist, so its own row is not
        // touched.
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

    /// Handles the answer to [`Output::FindDevice`].
    pub fn on_device_found(&mut self, device_state: Option<DeviceState>) {
        self.admit(device_state);
    }
}
