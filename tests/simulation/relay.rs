//! The relay on one thread: its real store, rules and sessions. The world schedules what tasks and
//! channels do in the real relay.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use graceful_protocol::frame;
use graceful_protocol::{RelayId, StoreEpoch};
use graceful_rules::command::{AccountVersion, Command, Fetch, Member, Outcome};
use graceful_rules::session::{Output, ServerNames, Session, SessionConfig};
use graceful_rules::{AccountNumber, RelayTime};
use graceful_store::{Committed, Engine as _, Files, Identity, Options, Store, StoreError};

use graceful_testing::disk::{Disk, File};
use graceful_testing::random::SeededRng;

/// A connection's name.
pub type Wire = u64;

/// What the relay puts on a wire.
#[derive(Debug, Clone)]
pub enum Sent {
    Frame(Bytes),
    Close,
}

struct Connection {
    machine: Session,
    look: Option<Fetch>,
    account: Option<AccountNumber>,
}

/// A change that waits for the writer.
struct PendingCommand {
    wire: Wire,
    change: Command,
}

/// One process of the relay.
pub struct Relay {
    store: Store,
    config: Arc<SessionConfig>,
    base: RelayTime,
    started_ms: u64,
    sessions: BTreeMap<Wire, Connection>,
    inbox: VecDeque<PendingCommand>,
    revision: u64,
}

/// What came of a commit, and what is said on which wire because of it.
pub type Committing = (Vec<Outcome>, Vec<(Wire, Sent)>);

impl Relay {
    /// Starts on what the disk has.
    pub fn start(
        disk: &Disk,
        options: &Options,
        rng: &mut SeededRng,
        now_ms: u64,
    ) -> Result<Self, StoreError> {
        let fresh = Identity {
            relay_id: RelayId::new(rng.bytes()),
            epoch: StoreEpoch::new(rng.bytes()),
        };
        let mut keys = SeededRng::new(rng.next_u64());
        let rng = move |bytes: &mut [u8]| keys.fill(bytes);
        let files = Files {
            store: disk.handle(File::Store),
            keys: disk.handle(File::Keys),
            journals: [disk.handle(File::Journal), disk.handle(File::OtherJournal)],
        };
        let store = Store::open_on(files, options.clone(), fresh, rng)?;
        let config = SessionConfig {
            relay_id: store.identity().relay_id,
            epoch: store.identity().epoch,
            limits: options.limits.clone(),
            registration: options.registration,
            server_names: ServerNames::default(),
            auth_timeout_ms: 10_000,
        };
        Ok(Self {
            base: store.clock_at_open(),
            store,
            config: Arc::new(config),
            started_ms: now_ms,
            sessions: BTreeMap::new(),
            inbox: VecDeque::new(),
            revision: 0,
        })
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    fn time(&self, now_ms: u64) -> RelayTime {
        RelayTime::from_ms(self.base.ms() + (now_ms - self.started_ms))
    }

    /// A device dialled.
    pub fn connect(&mut self, wire: Wire, rng: &mut SeededRng, now_ms: u64) -> Vec<(Wire, Sent)> {
        // The wall clock is whatever it is: nothing may depend on it.
        let wall_ms = rng.next_u64() >> rng.below(60);
        let machine = Session::new(self.config.clone(), rng.bytes(), wall_ms, now_ms);
        self.sessions.insert(
            wire,
            Connection {
                machine,
                look: None,
                account: None,
            },
        );
        self.run(wire)
    }

    /// A wire broke, or its device hung up.
    pub fn disconnect(&mut self, wire: Wire) {
        self.sessions.remove(&wire);
    }

    pub fn wants_frames(&self, wire: Wire) -> bool {
        self.sessions
            .get(&wire)
            .is_some_and(|session| session.machine.wants_frames())
    }

    /// A frame arrived.
    pub fn handle_frame(&mut self, wire: Wire, bytes: Bytes, now_ms: u64) -> Vec<(Wire, Sent)> {
        let frame = frame::from_device(bytes).expect("devices follow the protocol");
        if let Some(session) = self.sessions.get_mut(&wire) {
            session.machine.handle_frame(frame, now_ms);
        }
        self.run(wire)
    }

    /// Time passed.
    pub fn tick(&mut self, now_ms: u64) -> Vec<(Wire, Sent)> {
        let wires = self.sessions.keys().copied().collect::<Vec<_>>();
        for wire in &wires {
            self.sessions
                .get_mut(wire)
                .expect("listed")
                .machine
                .handle_timeout(now_ms);
        }
        wires.into_iter().flat_map(|wire| self.run(wire)).collect()
    }

    /// Sessions with a look to make.
    pub fn fetching(&self) -> Vec<Wire> {
        self.sessions
            .iter()
            .filter(|(_, session)| session.look.is_some())
            .map(|(wire, _)| *wire)
            .collect()
    }

    /// Makes one session's look.
    pub fn fetch(&mut self, wire: Wire, now_ms: u64) -> Result<Vec<(Wire, Sent)>, StoreError> {
        let now = self.time(now_ms);
        let Some(session) = self.sessions.get_mut(&wire) else {
            return Ok(Vec::new());
        };
        if let Some(look) = session.look.take() {
            let view = self.store.fetch(&look, now)?;
            session.machine.on_fetched(view);
        }
        Ok(self.run(wire))
    }

    /// Which device a session serves, once that is known.
    pub fn member(&self, wire: Wire) -> Option<Member> {
        self.sessions.get(&wire)?.machine.member()
    }

    /// Describes the state of a session, for failure messages.
    pub fn describe(&self, wire: Wire) -> String {
        self.sessions
            .get(&wire)
            .map(|session| format!("{:?}", session.machine))
            .unwrap_or_default()
    }

    pub fn has_changes(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// The janitor asks for a sweep.
    pub fn sweep(&mut self) {
        self.inbox.push_back(PendingCommand {
            wire: Wire::MAX,
            change: Command::Sweep,
        });
    }

    /// The janitor overwrites the keys of days that are over. Returns how many.
    pub fn retire_day_keys(&self, now_ms: u64) -> Result<usize, StoreError> {
        self.store.retire_day_keys(self.time(now_ms))
    }

    /// What the writer would commit now.
    pub fn waiting(&self) -> impl Iterator<Item = &Command> {
        self.inbox.iter().map(|asked| &asked.change)
    }

    /// The writer's turn: everything that waits, in one transaction.
    pub fn commit(&mut self, now_ms: u64) -> Result<Committing, StoreError> {
        let batch = std::mem::take(&mut self.inbox);
        let changes = batch
            .iter()
            .map(|asked| asked.change.clone())
            .collect::<Vec<_>>();
        let Committed {
            outcomes,
            changed_accounts,
        } = self.store.commit(&changes, self.time(now_ms))?;
        let mut sent = Vec::new();
        for (asked, outcome) in batch.iter().zip(&outcomes) {
            if let Some(session) = self.sessions.get_mut(&asked.wire) {
                session.machine.on_committed(outcome.clone());
                sent.extend(self.run(asked.wire));
            }
        }
        for change in changed_accounts {
            self.revision += u64::from(change.needs_refetch);
            let version = AccountVersion {
                head: change.head,
                membership_count: change.membership_count,
                revision: self.revision,
            };
            let listeners = self
                .sessions
                .iter_mut()
                .filter(|(_, one)| one.account == Some(change.account));
            let wires = listeners.map(|(wire, session)| {
                session.machine.on_account_changed(version);
                *wire
            });
            for wire in wires.collect::<Vec<_>>() {
                sent.extend(self.run(wire));
            }
        }
        Ok((outcomes, sent))
    }

    /// Does what a machine asks for.
    fn run(&mut self, wire: Wire) -> Vec<(Wire, Sent)> {
        let mut sent = Vec::new();
        let Some(session) = self.sessions.get_mut(&wire) else {
            return sent;
        };
        while let Some(request) = session.machine.poll_output() {
            match request {
                Output::Send(frame) => sent.push((wire, Sent::Frame(frame::relay_bytes(frame)))),
                Output::Commit(change) => self.inbox.push_back(PendingCommand { wire, change }),
                Output::Fetch(look) => session.look = Some(look),
                Output::FindDevice { account, device } => {
                    let device_state = self.store.find(&account, &device).unwrap_or_default();
                    session.account = device_state
                        .as_ref()
                        .map(|device_state| device_state.member.account);
                    session.machine.on_device_found(device_state);
                }
                Output::FindRecoveryKey { .. } | Output::FetchMembership { .. } => {
                    unreachable!("phones have keys")
                }
                Output::OpenRendezvous { .. }
                | Output::JoinRendezvous { .. }
                | Output::ReplyRendezvous { .. } => {}
                Output::Close { .. } => {
                    sent.push((wire, Sent::Close));
                    self.sessions.remove(&wire);
                    return sent;
                }
            }
        }
        sent
    }
}
