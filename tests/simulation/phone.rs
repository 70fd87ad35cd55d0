//! A device: the real engine of the client library, its journal, and an app that applies what it is
//! given.

use std::collections::VecDeque;

use graceful_relay::client::pairing::Joining;
use graceful_relay::client::record::Record;
use graceful_relay::client::{
    Change, DeviceKeys, Engine, EngineState, Event, Identity, Incoming, Output, Position, State,
};
use graceful_relay::protocol::frame::DeviceFrame;
use graceful_relay::protocol::membership::account_id;
use graceful_relay::protocol::{AccountId, DeviceKey};

use crate::chance::Chance;
use crate::relay::Wire;

/// A seed's chance, as the client library takes it.
pub struct Seeded(pub Chance);

impl graceful_relay::client::Chance for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
}

/// What a device wants of the world.
#[allow(clippy::large_enum_variant)]
pub enum Wish {
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
    /// The highest push number that the relay said was stored.
    pub stored: u64,
    pub state: Option<State>,
    pub troubles: Vec<String>,
}

impl Phone {
    pub fn new(identity: Identity, chance: &mut Chance) -> Self {
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
            stored: 0,
            state: None,
            troubles: Vec::new(),
        };
        phone.wake(chance);
        phone
    }

    /// The founder of an account.
    pub fn found(name: &str, chance: &mut Chance) -> Self {
        let mut seeded = Seeded(Chance::new(chance.next()));
        Self::new(Identity::found(name, name, &mut seeded), chance)
    }

    /// Keys for a device that is to join.
    pub fn joining(name: &str, chance: &mut Chance) -> (DeviceKeys, Joining) {
        let keys = DeviceKeys::random(&mut Seeded(Chance::new(chance.next())));
        let joining =
            Joining { device: keys.device(), agreement: keys.agreement().public(), name: name.to_owned() };
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
    pub fn wake(&mut self, chance: &mut Chance) {
        let mut state = EngineState::new(&self.identity).expect("its own log is right");
        for record in &self.journal {
            state.apply(record.clone()).expect("its own journal is right");
        }
        if let Some((position, _)) = self.applied.last() {
            state.applied_by_app(position);
        }
        let chance = Box::new(Seeded(Chance::new(chance.next())));
        self.engine = Some(Engine::new(state, "", chance));
    }

    /// Has the engine do something, if the device is awake.
    pub fn with(&mut self, act: impl FnOnce(&mut Engine)) {
        if let Some(engine) = &mut self.engine {
            act(engine);
        }
    }

    /// Carries out what the engine asks, in order. With `dies_after`, the process dies in between.
    pub fn drain(&mut self, dies_after: Option<u64>) -> Vec<Wish> {
        let mut wishes = Vec::new();
        let mut done = 0;
        while let Some(output) = self.engine.as_mut().and_then(Engine::poll) {
            if dies_after == Some(done) {
                self.kill();
                return wishes;
            }
            done += 1;
            match output {
                Output::Persist(record) => self.journal.push(record),
                Output::Connect => wishes.push(Wish::Dial),
                Output::Send(frame) => wishes.push(Wish::Send(frame)),
                Output::Close => wishes.push(Wish::HangUp),
                Output::Deliver(incoming) => self.given.push_back(incoming),
                Output::Event(event) => self.note(event),
            }
        }
        wishes
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::State(state) => self.state = Some(state),
            Event::Stored(number) => self.stored = self.stored.max(number),
            Event::Unreadable { .. }
            | Event::Distrust(_)
            | Event::LostPushes { .. }
            | Event::Renumbered { .. }
            | Event::KeyMissing(_)
            | Event::NewHistory => self.troubles.push(format!("{event:?}")),
            _ => {}
        }
    }

    pub fn has_given(&self) -> bool {
        !self.given.is_empty()
    }

    /// The app applies the oldest that it was given, in its own transaction, and says so.
    pub fn apply(&mut self, now_ms: u64) {
        let Some(incoming) = self.given.pop_front() else {
            return;
        };
        let position = *incoming.position();
        match incoming {
            Incoming::Change(received) => {
                self.applied.push((position, received.transaction_id));
            }
            Incoming::Gap(gap) => self.gaps.push((gap.from, gap.through)),
        }
        self.with(|engine| engine.applied(&position, now_ms));
    }

    /// Pushes changes by these names. Returns whether the device took them.
    pub fn push(&mut self, names: &[String], addressee: Option<DeviceKey>, now_ms: u64) -> bool {
        let Some(engine) = &mut self.engine else {
            return false;
        };
        let changes =
            names.iter().map(|name| Change { addressee, ..Change::new(name.clone(), name.repeat(20)) });
        engine.enqueue(changes, now_ms).is_ok()
    }

    pub fn members(&self) -> Vec<DeviceKey> {
        let Some(engine) = &self.engine else {
            return Vec::new();
        };
        engine.state().account().membership().members().iter().map(|member| member.device).collect()
    }

    pub fn is_up_to_date(&self) -> bool {
        self.given.is_empty() && self.state == Some(State::UpToDate)
    }

    pub fn is_refused(&self) -> bool {
        matches!(self.state, Some(State::Refused { .. }))
    }
}
