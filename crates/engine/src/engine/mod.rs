//! A device's sans-I/O state machine. Methods take inputs, and [`Engine::poll_output`] returns
//! outputs in order. The same inputs and randomness give the same outputs.
//!
//! A driver must put each [`Output::Persist`] on disk before it acts on any later output. Times are
//! milliseconds of any monotonic clock.

mod alerts;
mod change;
mod chunking;
mod connect;
mod events;
mod members;
#[cfg(any(test, feature = "testing"))]
pub mod naive_relay;
mod push;
mod receive;
mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

pub use change::{Change, ChangeKind, Gap, GapReason, Incoming, PushError, PushReceipt, Received};
pub use events::{Event, RelayMisbehavior, State, UndecryptableReason};

use crate::account::MembershipError;
use crate::backoff::Backoff;
use crate::pairing::Joining;
use crate::record::Record;
use crate::rng::CryptoRng;
use crate::state::EngineState;
use graceful_protocol::frame::{DeviceFrame, RelayFrame};
use graceful_protocol::wire;
use graceful_protocol::{Code, DeviceKey, Limits, StoreEpoch};

/// Longest delay of an ack while more changes are being applied.
const ACK_DELAY_MS: u64 = 200;

/// An action for the driver, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Persist this before any later output. Consecutive records may share one sync.
    Persist(Record),
    /// Dial the relay, then call [`Engine::handle_connected`], or [`Engine::handle_disconnected`]
    /// on failure.
    Connect,
    /// Send this frame.
    Send(DeviceFrame),
    /// Deliver this to the app.
    Deliver(Incoming),
    /// Report this to the app.
    Event(Event),
    /// Close the connection, then call [`Engine::handle_disconnected`].
    Close,
}

#[derive(Debug, Clone, PartialEq)]
enum Phase {
    Offline,
    Dialling,
    Connected,
    Authenticating,
    Live,
    Closing,
}

/// A requested membership change, pending until the log contains it.
#[derive(Debug, Clone, PartialEq)]
enum Intent {
    Add(Joining),
    Remove(DeviceKey),
}

/// The state machine of one device.
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
    relay_epoch: Option<StoreEpoch>,
    /// Whether the next authentication sends the whole log, and whether that was tried.
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
    /// Length of the relay's membership log. Nothing is sealed before it is complete here.
    entries_due: u64,
    delete_sent: bool,
    deletes: VecDeque<DeviceFrame>,
    /// Seconds since 1970. Only dates alerts.
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
    /// Creates an offline engine that dials at the first [`Engine::handle_timeout`]. `invite` is
    /// the invitation for a new account, or empty.
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
            relay_epoch: None,
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

    /// Returns the next output, or `None` when all are drained.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns the state, for status and compaction. It is ahead of the disk until outputs are
    /// drained.
    pub fn state(&self) -> &EngineState {
        &self.state
    }

    /// Returns why the relay refuses this device for good, if it does.
    pub fn ended(&self) -> Option<(Code, &str)> {
        self.ended
            .as_ref()
            .map(|(code, message)| (*code, message.as_str()))
    }

    /// Returns the relay's limits. Before a greeting: defaults, with the last known envelope size.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns whether the device is authenticated and connected.
    pub fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }

    /// Returns whether the next connection sends the whole membership log to a relay that lacks
    /// this device.
    pub fn needs_membership_resync(&self) -> bool {
        self.membership_resync && !self.membership_resynced
    }

    /// Handles the passing of time: dials, pings, acknowledges and retries what is due.
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

    /// Returns when [`Engine::handle_timeout`] is due.
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

    fn ping_interval_ms(&self) -> u64 {
        u64::from(self.limits.ping_interval_s.max(1)) * 1_000
    }

    /// Slightly early: the relay measures from arrival, this device from sending.
    fn ping_at_ms(&self) -> u64 {
        if self.pong_due_ms.is_some() {
            u64::MAX
        } else {
            self.last_sent_ms + self.ping_interval_ms()
        }
    }

    fn ping(&mut self) {
        self.pings += 1;
        self.pong_due_ms = Some(self.now_ms + self.ping_interval_ms());
        self.send(DeviceFrame::Ping(wire::Ping { number: self.pings }));
    }

    /// Handles transferred bytes: the relay is alive, even if a whole frame takes long.
    pub fn handle_progress(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        if self.pong_due_ms.is_some() {
            self.pong_due_ms = Some(self.now_ms + self.ping_interval_ms());
        }
    }

    /// Handles a frame from the relay.
    pub fn handle_frame(&mut self, frame: RelayFrame, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        self.handle_progress(now_ms);
        match (&self.phase, frame) {
            (Phase::Offline | Phase::Dialling | Phase::Closing, _) => return,
            (_, RelayFrame::Refusal(refusal)) => self.handle_refusal(refusal.into()),
            (Phase::Connected, RelayFrame::Greeting(greeting)) => self.handle_greeting(&greeting),
            (Phase::Authenticating, RelayFrame::Welcome(welcome)) => self.handle_welcome(&welcome),
            (Phase::Live, frame) => self.handle_live_frame(frame),
            _ => self.report_violation("frame out of order"),
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
                self.report_violation("unexpected frame");
            }
        }
    }

    /// Makes all possible progress.
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

    /// Reports a protocol violation and closes the connection.
    fn report_violation(&mut self, what: &'static str) {
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
        if let Some((code, message)) = &self.ended {
            return State::Refused {
                code: *code,
                message: message.clone(),
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
