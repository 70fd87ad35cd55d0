//! A device: the real engine, its journal, and an app that applies changes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use graceful_client::{
    Change, ChangeKind, DeviceKeys, Engine, EngineState, Event, Gap, GapReason, Identity, Incoming,
    Output, Position, PushError, Received, State,
};
use graceful_engine::FnRng;
use graceful_engine::pairing::Joining;
use graceful_engine::record::Record;
use graceful_protocol::frame::DeviceFrame;
use graceful_protocol::membership::account_id;
use graceful_protocol::{AccountId, DeviceKey};

use crate::relay::Wire;
use graceful_testing::random::SeededRng;

/// Adapts the seeded generator to the client library.
pub fn seeded(mut rng: SeededRng) -> FnRng<impl FnMut(&mut [u8]) + Send> {
    FnRng(move |bytes: &mut [u8]| rng.fill(bytes))
}

/// What a device wants of the world.
#[allow(clippy::large_enum_variant)]
pub enum Action {
    Dial,
    Send(DeviceFrame),
    HangUp,
}

/// One device.
pub struct Phone {
    pub key: DeviceKey,
    pub account: AccountId,
    identity: Identity,
    journal: Vec<Record>,
    engine: Option<Engine>,
    pub wire: Option<Wire>,
    given: VecDeque<Incoming>,
    /// What the app has applied, which outlives everything.
    pub applied: Vec<(Position, String)>,
    pub gaps: Vec<(u64, u64)>,
    /// What it had applied and could not say before it died, the last one excepted.
    unsaid: Vec<Position>,
    /// Gaps of which a crash left open whether there are any.
    pub groundless: usize,
    /// Its own changes and those learned from snapshots; both survive everything.
    pub made: Vec<String>,
    pub learned: BTreeSet<String>,
    /// Whether it has what came before it.
    pub has_past: bool,
    /// Changes that came in parts, and changes of which some parts were missing.
    pub large: usize,
    pub unfinished: usize,
    /// The highest push number that the relay said was stored.
    pub stored: u64,
    pub state: Option<State>,
    pub faults: Vec<String>,
}

impl Phone {
    pub fn new(identity: Identity, rng: &mut SeededRng) -> Self {
        let mut phone = Self {
            key: identity.keys.device(),
            account: account_id(&identity.account.entries[0]),
            identity,
            journal: Vec::new(),
            engine: None,
            wire: None,
            given: VecDeque::new(),
            applied: Vec::new(),
            gaps: Vec::new(),
            unsaid: Vec::new(),
            groundless: 0,
            made: Vec::new(),
            learned: BTreeSet::new(),
            has_past: false,
            large: 0,
            unfinished: 0,
            stored: 0,
            state: None,
            faults: Vec::new(),
        };
        phone.wake(rng);
        phone
    }

    /// The creator of an account.
    pub fn create(name: &str, rng: &mut SeededRng) -> Self {
        let mut seeded = seeded(SeededRng::new(rng.next_u64()));
        Self {
            has_past: true,
            ..Self::new(Identity::create(name, name, &mut seeded), rng)
        }
    }

    /// Keys for a device that is to join.
    pub fn joining(name: &str, rng: &mut SeededRng) -> (DeviceKeys, Joining) {
        let keys = DeviceKeys::random(&mut seeded(SeededRng::new(rng.next_u64())));
        let joining = Joining {
            device: keys.device(),
            agreement: keys.agreement().public(),
            name: name.to_owned(),
        };
        (keys, joining)
    }

    pub fn is_awake(&self) -> bool {
        self.engine.is_some()
    }

    pub fn engine(&self) -> Option<&Engine> {
        self.engine.as_ref()
    }

    /// The process dies: all that is left is the journal and what the app applied.
    pub fn kill(&mut self) {
        self.engine = None;
        self.given.clear();
        self.state = None;
    }

    /// The process starts again.
    pub fn wake(&mut self, rng: &mut SeededRng) {
        let mut state = EngineState::new(&self.identity).expect("its own log is right");
        for record in &self.journal {
            state
                .apply(record.clone())
                .expect("its own journal is right");
        }
        if let Some(((position, _), before)) = self.applied.split_last() {
            // The journal knows how far each sender's changes came; the app itself names its last alone.
            let sent = state
                .inbox()
                .senders()
                .map(|sender| (sender.device.clone(), sender.push_number));
            let sent = sent.collect::<BTreeMap<_, _>>();
            let is_unsaid = |at: &Position| {
                sent.get(at.sender.as_bytes().as_slice())
                    .is_none_or(|sent| *sent < at.push_number)
            };
            self.unsaid
                .extend(before.iter().map(|(at, _)| *at).filter(is_unsaid));
            state.applied_by_app(position);
        }
        let rng = Box::new(seeded(SeededRng::new(rng.next_u64())));
        self.engine = Some(Engine::new(state, "", rng));
    }

    /// Has the engine do something, if the device is awake.
    pub fn with(&mut self, act: impl FnOnce(&mut Engine)) {
        if let Some(engine) = &mut self.engine {
            act(engine);
        }
    }

    /// Carries out what the engine asks, in order. With `dies_after`, the process dies in between.
    pub fn drain(&mut self, dies_after: Option<u64>) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut done = 0;
        while let Some(output) = self.engine.as_mut().and_then(Engine::poll_output) {
            if dies_after == Some(done) {
                self.kill();
                return actions;
            }
            done += 1;
            match output {
                Output::Persist(record) => self.journal.push(record),
                Output::Connect => actions.push(Action::Dial),
                Output::Send(frame) => actions.push(Action::Send(frame)),
                Output::Close => actions.push(Action::HangUp),
                Output::Deliver(incoming) => self.given.push_back(incoming),
                Output::Event(event) => self.note(event),
            }
        }
        actions
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::State(state) => self.state = Some(state),
            Event::Stored(number) => self.stored = self.stored.max(number),
            Event::UndecryptableEnvelope { .. }
            | Event::MisbehaviorDetected(_)
            | Event::LostPushes { .. }
            | Event::Renumbered { .. }
            | Event::KeyMissing(_)
            | Event::RelayRestored => self.faults.push(format!("{event:?}")),
            _ => {}
        }
    }

    pub fn has_given(&self) -> bool {
        !self.given.is_empty()
    }

    /// Applies the oldest received change in its own transaction and confirms it.
    pub fn apply(&mut self, now_ms: u64) {
        let Some(incoming) = self.given.pop_front() else {
            return;
        };
        let position = *incoming.position();
        match incoming {
            Incoming::Change(received) => self.take(received),
            Incoming::Gap(gap) => {
                self.gaps.push((gap.from, gap.through));
                self.groundless += usize::from(self.was_left_open(&gap));
                self.unfinished += usize::from(gap.reason == GapReason::Unfinished);
                // Without a device to ask, none pushes either.
                self.with(|engine| {
                    let asked = engine.request_snapshot(gap.recommended_source(), now_ms);
                    if asked == Err(PushError::Recipient) {
                        let _ = engine.request_snapshot(None, now_ms);
                    }
                });
            }
            Incoming::SnapshotRequest { device, .. } => drop(self.send_snapshot(device, now_ms)),
        }
        self.with(|engine| engine.applied(&position, now_ms));
    }

    /// Whether the app had that change, and died with it unsaid while it named another sender's.
    fn was_left_open(&self, gap: &Gap) -> bool {
        let sender = gap.recommended_source();
        let is_last_part = |at: &Position| Some(at.sender) == sender && at.seq > gap.through;
        gap.position.push_number == 0 && self.unsaid.iter().any(is_last_part)
    }

    fn take(&mut self, received: Received) {
        let Received {
            position,
            transaction_id,
            kind,
            content,
            ..
        } = received;
        if kind == ChangeKind::Snapshot {
            let text = String::from_utf8(content.to_vec()).expect("text");
            self.learned.extend(text.lines().map(str::to_owned));
            self.has_past = true;
        } else {
            assert_eq!(
                content,
                body(&transaction_id),
                "a change comes as it was pushed"
            );
            self.large += usize::from(transaction_id.starts_with("large"));
        }
        self.applied.push((position, transaction_id));
    }

    /// Every change that this device knows.
    pub fn everything(&self) -> BTreeSet<&str> {
        let applied = self.applied.iter().map(|(_, name)| name);
        applied
            .chain(&self.made)
            .chain(&self.learned)
            .map(String::as_str)
            .collect()
    }

    /// Gives another device all that this one knows. Whether that was taken.
    pub fn send_snapshot(&mut self, device: DeviceKey, now_ms: u64) -> bool {
        let names = self.everything().into_iter().collect::<Vec<_>>().join("\n");
        let snapshot = Change::snapshot(device, names);
        self.engine
            .as_mut()
            .is_some_and(|engine| engine.enqueue([snapshot], now_ms).is_ok())
    }

    /// Pushes changes by these names. Returns whether the device took them.
    pub fn push(&mut self, names: &[String], recipient: Option<DeviceKey>, now_ms: u64) -> bool {
        let Some(engine) = &mut self.engine else {
            return false;
        };
        let changes = names.iter().map(|name| Change {
            recipient,
            ..Change::new(name.clone(), body(name))
        });
        let taken = engine.enqueue(changes, now_ms).is_ok();
        if taken {
            self.made.extend_from_slice(names);
        }
        taken
    }

    /// Whether it knows how large the relay's envelopes are.
    pub fn knows_limits(&self) -> bool {
        self.engine()
            .is_some_and(|engine| engine.limits().envelope_bytes_max < 10_000)
    }

    pub fn members(&self) -> Vec<DeviceKey> {
        let Some(engine) = &self.engine else {
            return Vec::new();
        };
        engine
            .state()
            .account()
            .membership()
            .members()
            .iter()
            .map(|member| member.device)
            .collect()
    }

    pub fn is_up_to_date(&self) -> bool {
        self.given.is_empty() && self.state == Some(State::UpToDate)
    }

    pub fn is_refused(&self) -> bool {
        matches!(self.state, Some(State::Refused { .. }))
    }
}

/// What a change of this name holds: a large one takes two to six envelopes.
fn body(name: &str) -> String {
    let large = name
        .strip_prefix("large change ")
        .and_then(|number| number.parse::<usize>().ok());
    let bytes = large.map_or(200, |number| 1_000 + number % 7 * 350);
    name.repeat(bytes.div_ceil(name.len()))
}
