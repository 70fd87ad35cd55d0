//! The relay on one thread: its real store, rules and conversations; what tasks and channels do in
//! the real one is done here by turns that the world hands out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use graceful_protocol::frame;
use graceful_protocol::{RelayId, StoreEpoch};
use graceful_rules::change::{Change, Look, News, Outcome, Whose};
use graceful_rules::conversation::{Conversation, Hosts, Request, Terms};
use graceful_rules::{AccountNumber, RelayTime};
use graceful_store::{Committed, Files, Identity, Options, Store, StoreError};

use crate::chance::Chance;
use crate::disk::{Disk, File};

/// A connection's name.
pub type Wire = u64;

/// What the relay puts on a wire.
#[derive(Debug, Clone)]
pub enum Said {
    Frame(Bytes),
    Close,
}

struct Session {
    conversation: Conversation,
    look: Option<Look>,
    account: Option<AccountNumber>,
}

/// A change that waits for the writer.
struct Asked {
    wire: Wire,
    change: Change,
}

/// One process of the relay.
pub struct Relay {
    store: Store,
    terms: Arc<Terms>,
    base: RelayTime,
    started_ms: u64,
    sessions: BTreeMap<Wire, Session>,
    inbox: VecDeque<Asked>,
    turns: u64,
}

/// What came of a commit, and what is said on which wire because of it.
pub type Committing = (Vec<Outcome>, Vec<(Wire, Said)>);

impl Relay {
    /// Starts on what the disk has.
    pub fn start(
        disk: &Disk,
        options: &Options,
        chance: &mut Chance,
        now_ms: u64,
    ) -> Result<Self, StoreError> {
        let fresh = Identity {
            relay_id: RelayId::new(chance.bytes()),
            epoch: StoreEpoch::new(chance.bytes()),
        };
        let mut keys = Chance::new(chance.next());
        let chance = move |bytes: &mut [u8]| keys.fill(bytes);
        let files = Files {
            store: disk.handle(File::Store),
            keys: disk.handle(File::Keys),
            journals: [disk.handle(File::Journal), disk.handle(File::OtherJournal)],
        };
        let store = Store::open_on(files, options.clone(), fresh, chance)?;
        let terms = Terms {
            relay_id: store.identity().relay_id,
            epoch: store.identity().epoch,
            limits: options.limits.clone(),
            registration: options.registration,
            hosts: Hosts::default(),
            authentication_ms_max: 10_000,
        };
        Ok(Self {
            base: store.clock_at_open(),
            store,
            terms: Arc::new(terms),
            started_ms: now_ms,
            sessions: BTreeMap::new(),
            inbox: VecDeque::new(),
            turns: 0,
        })
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    fn time(&self, now_ms: u64) -> RelayTime {
        RelayTime::from_ms(self.base.ms() + (now_ms - self.started_ms))
    }

    /// A device dialled.
    pub fn connect(&mut self, wire: Wire, chance: &mut Chance, now_ms: u64) -> Vec<(Wire, Said)> {
        // The wall clock is whatever it is: nothing may depend on it.
        let wall_ms = chance.next() >> chance.below(60);
        let conversation = Conversation::new(self.terms.clone(), chance.bytes(), wall_ms, now_ms);
        self.sessions.insert(
            wire,
            Session {
                conversation,
                look: None,
                account: None,
            },
        );
        self.run(wire)
    }

    /// A wire broke, or its device hung up.
    pub fn hang_up(&mut self, wire: Wire) {
        self.sessions.remove(&wire);
    }

    pub fn wants_frames(&self, wire: Wire) -> bool {
        self.sessions
            .get(&wire)
            .is_some_and(|session| session.conversation.wants_frames())
    }

    /// A frame arrived.
    pub fn hear(&mut self, wire: Wire, bytes: Bytes, now_ms: u64) -> Vec<(Wire, Said)> {
        let frame = frame::from_device(bytes).expect("devices follow the protocol");
        if let Some(session) = self.sessions.get_mut(&wire) {
            session.conversation.received(frame, now_ms);
        }
        self.run(wire)
    }

    /// Time passed.
    pub fn tick(&mut self, now_ms: u64) -> Vec<(Wire, Said)> {
        let wires = self.sessions.keys().copied().collect::<Vec<_>>();
        for wire in &wires {
            self.sessions
                .get_mut(wire)
                .expect("listed")
                .conversation
                .tick(now_ms);
        }
        wires.into_iter().flat_map(|wire| self.run(wire)).collect()
    }

    /// Sessions with a look to make.
    pub fn looking(&self) -> Vec<Wire> {
        self.sessions
            .iter()
            .filter(|(_, session)| session.look.is_some())
            .map(|(wire, _)| *wire)
            .collect()
    }

    /// Makes one session's look.
    pub fn look(&mut self, wire: Wire, now_ms: u64) -> Result<Vec<(Wire, Said)>, StoreError> {
        let now = self.time(now_ms);
        let Some(session) = self.sessions.get_mut(&wire) else {
            return Ok(Vec::new());
        };
        if let Some(look) = session.look.take() {
            let view = self.store.look(&look, now)?;
            session.conversation.viewed(view);
        }
        Ok(self.run(wire))
    }

    /// Which device a session serves, once that is known.
    pub fn whose(&self, wire: Wire) -> Option<Whose> {
        self.sessions.get(&wire)?.conversation.whose()
    }

    /// What a session stands at, for whoever looks for the reason of a failure.
    pub fn describe(&self, wire: Wire) -> String {
        self.sessions
            .get(&wire)
            .map(|session| format!("{:?}", session.conversation))
            .unwrap_or_default()
    }

    pub fn has_changes(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// The janitor asks for a sweep.
    pub fn sweep(&mut self) {
        self.inbox.push_back(Asked {
            wire: Wire::MAX,
            change: Change::Sweep,
        });
    }

    /// The janitor overwrites the keys of days that are over. Returns how many.
    pub fn retire_day_keys(&self, now_ms: u64) -> Result<usize, StoreError> {
        self.store.retire_day_keys(self.time(now_ms))
    }

    /// What the writer would commit now.
    pub fn waiting(&self) -> impl Iterator<Item = &Change> {
        self.inbox.iter().map(|asked| &asked.change)
    }

    /// The writer's turn: everything that waits, in one transaction.
    pub fn commit(&mut self, now_ms: u64) -> Result<Committing, StoreError> {
        let batch = std::mem::take(&mut self.inbox);
        let changes = batch.iter().map(|asked| asked.change.clone()).collect();
        let Committed { outcomes, stirs } = self.store.commit(changes, self.time(now_ms))?;
        let mut said = Vec::new();
        for (asked, outcome) in batch.iter().zip(&outcomes) {
            if let Some(session) = self.sessions.get_mut(&asked.wire) {
                session.conversation.committed(outcome.clone());
                said.extend(self.run(asked.wire));
            }
        }
        for stir in stirs {
            self.turns += u64::from(stir.turned);
            let news = News {
                head: stir.head,
                membership_count: stir.membership_count,
                turns: self.turns,
            };
            let listeners = self
                .sessions
                .iter_mut()
                .filter(|(_, one)| one.account == Some(stir.account));
            let wires = listeners.map(|(wire, session)| {
                session.conversation.woken(news);
                *wire
            });
            for wire in wires.collect::<Vec<_>>() {
                said.extend(self.run(wire));
            }
        }
        Ok((outcomes, said))
    }

    /// Does what a conversation asks for.
    fn run(&mut self, wire: Wire) -> Vec<(Wire, Said)> {
        let mut said = Vec::new();
        let Some(session) = self.sessions.get_mut(&wire) else {
            return said;
        };
        while let Some(request) = session.conversation.next() {
            match request {
                Request::Send(frame) => said.push((wire, Said::Frame(frame::relay_bytes(frame)))),
                Request::Commit(change) => self.inbox.push_back(Asked { wire, change }),
                Request::Look(look) => session.look = Some(look),
                Request::Find { account, device } => {
                    let standing = self.store.find(&account, &device).unwrap_or_default();
                    session.account = standing.as_ref().map(|standing| standing.whose.account);
                    session.conversation.looked_up(standing);
                }
                Request::FindRecovery { .. } | Request::LookAtLog { .. } => {
                    unreachable!("phones have keys")
                }
                Request::OpenSlot { .. } | Request::JoinSlot { .. } | Request::Reply { .. } => {}
                Request::Close { .. } => {
                    said.push((wire, Said::Close));
                    self.sessions.remove(&wire);
                    return said;
                }
            }
        }
        said
    }
}
