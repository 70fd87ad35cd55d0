//! One conversation with a device, from greeting to close, as a machine without sockets or disk:
//! what arrives goes in by the methods below, what is to be done comes out of [`Conversation::next`]
//! in order. Whoever drives it (a session, an exchange, a simulation) does as told and reports back.

mod delivery;
mod opening;
mod ready;
mod recovery;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use graceful_protocol::frame::{DeviceFrame, RelayFrame};
use graceful_protocol::wire;
use graceful_protocol::{
    AccountId, Code, DeviceKey, Limits, Refusal, RelayId, RendezvousId, StoreEpoch, close_code,
};

use super::AccountNumber;
use super::change::{Change, Look, News, Outcome, Standing, View, Whose};
use super::membership::Registration;
use delivery::Delivery;
use opening::{Claim, NOBODY};
use recovery::Recovery;

/// The names a relay goes by. A device signs the name that it dialled, so that an answer given to
/// one relay is worth nothing at another.
#[derive(Debug, Clone, Default)]
pub struct Hosts(Vec<String>);

impl Hosts {
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

/// What is the same for every conversation of a relay.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Which relay.
    pub relay_id: RelayId,
    /// Which history.
    pub epoch: StoreEpoch,
    /// Told in the greeting, and kept to.
    pub limits: Limits,
    /// Who may found accounts.
    pub registration: Registration,
    /// The names it goes by.
    pub hosts: Hosts,
    /// How long a device may take to say who it is, in milliseconds.
    pub authentication_ms_max: u64,
}

/// What a conversation wants done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Send a frame.
    Send(RelayFrame),
    /// Look up a device: answer with [`Conversation::looked_up`].
    Find {
        /// The account it claims.
        account: AccountId,
        /// The key it proved to have, or one that no device has.
        device: DeviceKey,
    },
    /// Look up a recovery key: answer with [`Conversation::recovery_found`].
    FindRecovery {
        /// The key it showed.
        key: DeviceKey,
    },
    /// Read a membership log: answer with [`Conversation::viewed`].
    LookAtLog {
        /// Whose.
        account: AccountNumber,
        /// From this index on.
        entries_from: u64,
    },
    /// Have a change made: answer with [`Conversation::committed`], in order.
    Commit(Change),
    /// Read the account: answer with [`Conversation::viewed`].
    Look(Look),
    /// Open a slot: answer with [`Conversation::slot_opened`].
    OpenSlot {
        /// Its id.
        id: RendezvousId,
        /// In seconds.
        lifetime_s: u32,
    },
    /// Meet the owner of a slot: answer with [`Conversation::answered`] or [`Conversation::slot_over`].
    JoinSlot {
        /// Its id.
        id: RendezvousId,
        /// For the owner.
        sealed: Bytes,
    },
    /// Answer who came to the slot.
    Reply {
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
    Opening,
    /// It says who it is, and that is being looked up.
    Admitting(Box<Claim>),
    /// Known.
    Ready(Box<Delivery>),
    /// It shows a recovery key, and that is being looked up.
    Recognising { key: DeviceKey, proven: bool },
    /// A known recovery key.
    Recovering(Recovery),
    /// A new device, waiting for the owner of a slot.
    Joining,
    /// Closed or about to be.
    Over,
}

/// What the outcome of a change will be the answer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    Found,
    Regain,
    Push,
    Ack { through: u64 },
    Append { first: u64 },
    Delete,
    Close,
    Sweep,
}

/// One conversation.
#[derive(Debug)]
pub struct Conversation {
    terms: Arc<Terms>,
    nonce: [u8; 32],
    phase: Phase,
    awaited: VecDeque<Awaited>,
    requests: VecDeque<Request>,
    started_ms: u64,
    heard_ms: u64,
}

impl Conversation {
    /// Greets. `nonce` must be fresh chance; times are on any monotonic clock.
    pub fn new(terms: Arc<Terms>, nonce: [u8; 32], wall_ms: u64, now_ms: u64) -> Self {
        let greeting = opening::greeting(&terms, &nonce, wall_ms);
        let mut conversation = Self::greeted(terms, nonce, now_ms);
        conversation.requests.push_back(Request::Send(greeting));
        conversation
    }

    /// Goes on from a greeting given earlier, with its nonce.
    pub fn greeted(terms: Arc<Terms>, nonce: [u8; 32], now_ms: u64) -> Self {
        Self {
            terms,
            nonce,
            phase: Phase::Opening,
            awaited: VecDeque::new(),
            requests: VecDeque::new(),
            started_ms: now_ms,
            heard_ms: now_ms,
        }
    }

    /// The next thing to do.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Request> {
        let next = self.requests.pop_front();
        if next.is_none() && self.requests.capacity() > 0 {
            // It rests now, perhaps for days: memory is asked for again when there is something to do.
            self.requests = VecDeque::new();
        }
        next
    }

    /// Whether another frame may be given to it now. While not, the socket is not read.
    pub fn wants_frames(&self) -> bool {
        match self.phase {
            Phase::Opening | Phase::Joining | Phase::Over => true,
            Phase::Admitting(_) | Phase::Recognising { .. } => false,
            Phase::Ready(_) | Phase::Recovering(_) => {
                self.awaited.len() < self.terms.limits.unanswered_frames_max as usize
            }
        }
    }

    /// Whether everything asked for has been answered and delivered as far as the window allows.
    pub fn is_settled(&self) -> bool {
        match &self.phase {
            Phase::Admitting(_) | Phase::Recognising { .. } => false,
            Phase::Recovering(recovery) => self.awaited.is_empty() && !recovery.is_looking(),
            Phase::Ready(delivery) => self.awaited.is_empty() && !delivery.is_looking(),
            Phase::Opening | Phase::Joining | Phase::Over => self.awaited.is_empty(),
        }
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Whose conversation it is, once that is known.
    pub fn whose(&self) -> Option<Whose> {
        match &self.phase {
            Phase::Ready(delivery) => Some(delivery.whose()),
            _ => None,
        }
    }

    /// Whether the device that is being looked up has proved that it has the key it showed.
    pub fn is_proven(&self) -> bool {
        matches!(&self.phase, Phase::Admitting(claim) if claim.is_proven())
    }

    /// When [`Conversation::tick`] is due.
    pub fn deadline_ms(&self) -> Option<u64> {
        let limits = &self.terms.limits;
        let silent = self.heard_ms + u64::from(limits.silence_s_max) * 1_000;
        match self.phase {
            Phase::Opening => Some(self.started_ms + self.terms.authentication_ms_max),
            Phase::Joining => {
                Some(silent.min(self.started_ms + u64::from(limits.rendezvous_s_max) * 1_000))
            }
            Phase::Ready(_) | Phase::Recovering(_) => Some(silent),
            Phase::Admitting(_) | Phase::Recognising { .. } | Phase::Over => None,
        }
    }

    /// A frame came from the device.
    pub fn received(&mut self, frame: DeviceFrame, now_ms: u64) {
        self.heard_ms = now_ms;
        match (&self.phase, frame) {
            (Phase::Ready(_) | Phase::Recovering(_) | Phase::Joining, DeviceFrame::Ping(ping)) => {
                self.send(RelayFrame::Pong(wire::Pong {
                    number: ping.number,
                }));
            }
            (Phase::Opening, frame) => self.open(frame),
            (Phase::Ready(_), frame) => self.serve(frame),
            (Phase::Recovering(_), frame) => self.serve_recovery(frame),
            (Phase::Admitting(_) | Phase::Recognising { .. } | Phase::Joining, _) => {
                self.refuse(Refusal::new(
                    Code::Unexpected,
                    "wait for the answer to the first frame",
                ));
            }
            (Phase::Over, _) => {}
        }
    }

    /// Bytes came or went, if not yet a whole frame.
    pub fn alive(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
    }

    /// Time has passed.
    pub fn tick(&mut self, now_ms: u64) {
        if self
            .deadline_ms()
            .is_some_and(|deadline_ms| deadline_ms <= now_ms)
        {
            let text = match self.phase {
                Phase::Opening => "the device did not say who it is in time",
                Phase::Joining => "nobody answered at this rendezvous in time",
                _ => "nothing was heard from the device for too long",
            };
            self.refuse(Refusal::new(Code::Timeout, text).retry_after_ms(1));
        }
    }

    /// What came of the change asked for first of those not yet reported.
    pub fn committed(&mut self, outcome: Outcome) {
        let Some(awaited) = self.awaited.pop_front() else {
            return;
        };
        match awaited {
            Awaited::Found => self.founded(outcome),
            Awaited::Regain => self.regained(outcome),
            _ => self.answer(awaited, outcome),
        }
    }

    /// What is seen of the account.
    pub fn viewed(&mut self, view: View) {
        match view {
            _ if self.is_over() => {}
            // Closed by this very device: the answer to that is on its way.
            View::Gone if self.awaited.contains(&Awaited::Close) => {}
            View::Gone => self.refuse(Refusal::new(
                Code::AccountClosed,
                "this account was closed; nothing of it is kept here",
            )),
            View::NotAMember => {
                self.refuse(Refusal::new(
                    Code::Removed,
                    "this device was removed from its account",
                ));
            }
            View::SweepFirst => self.commit(Change::Sweep, Awaited::Sweep),
            View::Altered { seq } => {
                if let Some(Whose { account, .. }) = self.whose() {
                    self.commit(Change::GiveUp { account, seq }, Awaited::Sweep);
                }
            }
            View::Ready(ready) if matches!(self.phase, Phase::Recovering(_)) => {
                self.show_log(ready)
            }
            View::Ready(ready) => self.deliver(ready),
        }
    }

    /// Something about the account changed.
    pub fn woken(&mut self, news: News) {
        if let Phase::Ready(delivery) = &mut self.phase {
            delivery.hear(news);
            self.look();
        }
        self.hear_of_log(news);
    }

    /// The relay is about to stop.
    pub fn stop(&mut self, retry_after_ms: u64) {
        if !self.is_over() {
            let text = "the relay is restarting";
            self.refuse(Refusal::new(Code::Restarting, text).retry_after_ms(retry_after_ms));
        }
    }

    /// Says no; ends the conversation where the code asks for it.
    pub fn refuse(&mut self, refusal: Refusal) {
        if self.is_over() {
            return;
        }
        let close = close_code(refusal.code).map(|code| Request::Close {
            code,
            text: refusal.text.clone(),
        });
        self.send(RelayFrame::Refusal(refusal.into()));
        if let Some(close) = close {
            self.phase = Phase::Over;
            self.requests.push_back(close);
        }
    }

    fn close(&mut self, text: &str) {
        self.phase = Phase::Over;
        self.requests.push_back(Request::Close {
            code: 1000,
            text: text.to_owned(),
        });
    }

    fn send(&mut self, frame: RelayFrame) {
        if !self.is_over() {
            self.requests.push_back(Request::Send(frame));
        }
    }

    fn commit(&mut self, change: Change, awaited: Awaited) {
        self.awaited.push_back(awaited);
        self.requests.push_back(Request::Commit(change));
    }

    fn find(&mut self, claim: Claim) {
        // Who proved nothing is looked up as a device that nobody is: its own place is not touched.
        let device = if claim.is_proven() {
            claim.device
        } else {
            NOBODY
        };
        self.requests.push_back(Request::Find {
            account: claim.account,
            device,
        });
        self.phase = Phase::Admitting(Box::new(claim));
    }

    /// The answer to [`Request::Find`].
    pub fn looked_up(&mut self, standing: Option<Standing>) {
        self.admit(standing);
    }
}
