//! The conversation with a relay, without sockets, clock or disk: inputs go in by methods, outputs
//! are drained in order by [`Engine::poll_output`]. The same inputs and the same chance give the same
//! outputs.
//!
//! The one rule for a driver: a [`Output::Persist`] is on disk before any later output is acted on.
//! Times are milliseconds of any clock that does not go back.

mod alerts;
mod change;
mod chunking;
mod connect;
mod events;
mod members;
#[cfg(any(test, feature = "testing"))]
pub mod naive_relay;
mod parts;
mod push;
mod receive;
mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

pub use change::{Change, ChangeKind, Gap, GapReason, Incoming, PushError, PushReceipt, Received};
pub use events::{Event, RelayMisbehavior, State, UndecryptableReason};

use super::account::MembershipError;
use super::backoff::Backoff;
use super::pairing::Joining;
use super::record::Record;
use super::rng::CryptoRng;
use super::state::EngineState;
use graceful_protocol::frame::{DeviceFrame, RelayFrame};
use graceful_protocol::wire;
use graceful_protocol::{Code, DeviceKey, Limits, StoreEpoch};

/// Acks wait this long for company when more is being applied.
const ACK_DELAY_MS: u64 = 200;

/// What a driver does, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Put this on disk before going on. Several in a row may share one sync.
    Persist(Record),
    /// Dial the relay; then [`Engine::handle_connected`], or [`Engine::handle_disconnected`] if it fails.
    Connect,
    /// Send this frame.
    Send(DeviceFrame),
    /// Give this to the app.
    Deliver(Incoming),
    /// Tell the app.
    Event(Event),
    /// Close the connection; [`Engine::handle_disconnected`] follows when it is closed.
    Close,
}

#[derive(Debug, Clone, PartialEq)]
enum Phase {
    Offline,
    Dialling,
    Greeted,
    Authenticating,
    Live,
    Closing,
}

/// What this device wants of the membership log, until the log shows it.
#[derive(Debug, Clone, PartialEq)]
enum Intent {
    Add(Joining),
    Remove(DeviceKey),
}

/// One device's side of the conversation.
pub struct Engine {
    state: EngineState,
    rng: Box<dyn CryptoRng + Send>,
    outputs: VecDeque<Output>,
    now_ms: u64,
    phase: Phase,
    host: String,
    invite: String,
    limits: Limits,
    backoff: Backoff,
    dial_at_ms: Option<u64>,
    retry_after_ms: u64,
    ended: Option<(Code, String)>,
    reported: Option<State>,
    greeted_epoch: Option<StoreEpoch>,
    /// Whether the whole log is shown with the next proof, and whether that was tried already.
    membership_resync: bool,
    membership_resynced: bool,
    last_sent_ms: u64,
    pings: u64,
    pong_due_ms: Option<u64>,
    head: u64,
    through: u64,
    caught_up: bool,
    acked: u64,
    freed_bytes: u64,
    ack_due_ms: Option<u64>,
    push_hold_ms: Option<u64>,
    intents: VecDeque<Intent>,
    append_sent: bool,
    /// Entries of the membership log that the relay has: nothing is sealed before they are here.
    entries_due: u64,
    delete_sent: bool,
    deletes: VecDeque<DeviceFrame>,
    /// Seconds since 1970, for people; nothing is decided by it.
    wall_s: u64,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Offline, and about to dial at the first [`Engine::handle_timeout`]. `invite` is for genesis an
    /// account at a relay that asks for one; otherwise empty.
    pub fn new(
        state: EngineState,
        invite: impl Into<String>,
        rng: Box<dyn CryptoRng + Send>,
    ) -> Self {
        let mut limits = Limits::default();
        limits.envelope_bytes_max = state
            .envelope_bytes_max
            .unwrap_or(limits.envelope_bytes_max);
        let mut engine = Self {
            state,
            rng,
            outputs: VecDeque::new(),
            now_ms: 0,
            phase: Phase::Offline,
            host: String::new(),
            invite: invite.into(),
            limits,
            backoff: Backoff::default(),
            dial_at_ms: Some(0),
            retry_after_ms: 0,
            ended: None,
            reported: None,
            greeted_epoch: None,
            membership_resync: false,
            membership_resynced: false,
            last_sent_ms: 0,
            pings: 0,
            pong_due_ms: None,
            head: 0,
            through: 0,
            caught_up: false,
            acked: 0,
            freed_bytes: 0,
            ack_due_ms: None,
            push_hold_ms: None,
            intents: VecDeque::new(),
            append_sent: false,
            entries_due: 0,
            delete_sent: false,
            deletes: VecDeque::new(),
            wall_s: 0,
        };
        let gaps = std::mem::take(&mut engine.state.sender_gaps);
        engine.record_sender_gaps(gaps);
        engine
    }

    /// The next thing to do, until there is nothing more.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What is known, for status and compaction. Ahead of the disk while outputs are not drained.
    pub fn state(&self) -> &EngineState {
        &self.state
    }

    /// Why the relay will not have this device any more, if so.
    pub fn ended(&self) -> Option<(Code, &str)> {
        self.ended
            .as_ref()
            .map(|(code, text)| (*code, text.as_str()))
    }

    /// The relay's limits; before a greeting the defaults, and the largest envelope as said last.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether the device is known to the relay and talking to it.
    pub fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }

    /// Whether it dials again at once, to show a relay that does not know this device its whole log.
    pub fn needs_membership_resync(&self) -> bool {
        self.membership_resync && !self.membership_resynced
    }

    /// Time passed. Dials, pings, acknowledges and tries again what is due.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        if due(self.dial_at_ms, self.now_ms) {
            self.dial_at_ms = None;
            self.phase = Phase::Dialling;
            self.report();
            self.outputs.push_back(Output::Connect);
        }
        if due(self.pong_due_ms, self.now_ms) {
            self.close();
        }
        if self.phase == Phase::Live {
            if self.now_ms >= self.ping_at_ms() {
                self.ping();
            }
            if due(self.push_hold_ms, self.now_ms) {
                self.push_hold_ms = None;
            }
            self.drive();
        }
    }

    /// When [`Engine::handle_timeout`] has something to do next.
    pub fn poll_timeout(&self) -> Option<u64> {
        let live = (self.phase == Phase::Live).then(|| self.ping_at_ms());
        [
            self.dial_at_ms,
            self.pong_due_ms,
            self.ack_due_ms,
            self.push_hold_ms,
            live,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn heartbeat_ms(&self) -> u64 {
        u64::from(self.limits.ping_interval_s.max(1)) * 1_000
    }

    /// A little early: the relay counts from when it hears, not from when this device speaks.
    fn ping_at_ms(&self) -> u64 {
        if self.pong_due_ms.is_some() {
            u64::MAX
        } else {
            self.last_sent_ms + self.heartbeat_ms()
        }
    }

    fn ping(&mut self) {
        self.pings += 1;
        self.pong_due_ms = Some(self.now_ms + self.heartbeat_ms());
        self.send(DeviceFrame::Ping(wire::Ping { number: self.pings }));
    }

    /// Bytes came or went: the relay is there, even if a whole frame takes long.
    pub fn handle_progress(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        if self.pong_due_ms.is_some() {
            self.pong_due_ms = Some(self.now_ms + self.heartbeat_ms());
        }
    }

    /// The relay sent a frame.
    pub fn handle_frame(&mut self, frame: RelayFrame, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        self.handle_progress(now_ms);
        match (&self.phase, frame) {
            (Phase::Offline | Phase::Dialling | Phase::Closing, _) => return,
            (_, RelayFrame::Refusal(refusal)) => self.handle_refusal(refusal.into()),
            (Phase::Greeted, RelayFrame::Greeting(greeting)) => self.handle_greeting(&greeting),
            (Phase::Authenticating, RelayFrame::Welcome(welcome)) => self.handle_welcome(&welcome),
            (Phase::Live, frame) => self.handle_live_frame(frame),
            _ => self.violation("the relay sent a frame before its turn"),
        }
        self.drive();
    }

    fn handle_live_frame(&mut self, frame: RelayFrame) {
        match frame {
            RelayFrame::Stored(stored) => self.handle_stored(&stored),
            RelayFrame::Deliver(deliver) => self.handle_deliver(deliver),
            RelayFrame::Gap(gap) => self.handle_gap(&gap),
            RelayFrame::Membership(membership) => self.handle_membership(&membership),
            RelayFrame::Deleted(deleted) => self.handle_deleted(&deleted),
            RelayFrame::Pong(_) => self.pong_due_ms = None,
            RelayFrame::RendezvousOpened(opened) => {
                self.event(Event::RendezvousOpened { id: opened.id });
            }
            RelayFrame::RendezvousMessage(message) => {
                self.event(Event::RendezvousMessage {
                    id: message.id,
                    sealed: message.sealed,
                });
            }
            RelayFrame::Greeting(_)
            | RelayFrame::Welcome(_)
            | RelayFrame::RecoveryAccepted(_)
            | RelayFrame::Refusal(_) => {
                self.violation("the relay greeted twice");
            }
        }
    }

    /// Whatever can go on now, goes on.
    fn drive(&mut self) {
        if self.phase == Phase::Live {
            self.send_intent();
            self.send_deletes();
            self.send_pushes();
            self.acknowledge();
        }
        self.report();
    }

    fn send(&mut self, frame: DeviceFrame) {
        self.last_sent_ms = self.now_ms;
        self.outputs.push_back(Output::Send(frame));
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn persist(&mut self, record: Record) {
        self.outputs.push_back(Output::Persist(record));
    }

    fn close(&mut self) {
        if self.phase != Phase::Offline {
            self.phase = Phase::Closing;
            self.pong_due_ms = None;
            self.outputs.push_back(Output::Close);
        }
    }

    /// The relay does not follow the protocol: nothing more is believed on this connection.
    fn violation(&mut self, what: &'static str) {
        self.report_misbehavior(RelayMisbehavior::ProtocolViolation(what));
        self.close();
    }

    fn report(&mut self) {
        let state = self.sync_state();
        if self.reported.as_ref() != Some(&state) {
            self.reported = Some(state.clone());
            self.event(Event::State(state));
        }
    }

    fn sync_state(&self) -> State {
        if let Some((code, text)) = &self.ended {
            return State::Refused {
                code: *code,
                text: text.clone(),
            };
        }
        let waiting = self.state.outbox.waiting();
        match self.phase {
            Phase::Offline => State::Offline {
                dial_at_ms: self.dial_at_ms,
            },
            Phase::Live if self.caught_up && self.state.inbox.is_idle() && waiting == 0 => {
                State::UpToDate
            }
            Phase::Live => State::Syncing {
                received: self.state.inbox.cursor().min(self.head),
                head: self.head,
                waiting,
            },
            _ => State::Connecting,
        }
    }
}

fn due(at_ms: Option<u64>, now_ms: u64) -> bool {
    at_ms.is_some_and(|at_ms| at_ms <= now_ms)
}
