//! One simulated history: devices, a relay, connections and faults, in an order decided by the
//! seed.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use graceful_client::DeviceKeys;
use graceful_client::Identity;
use graceful_engine::pairing::Joining;
use graceful_protocol::frame::{self, DeviceFrame};
use graceful_protocol::{DeviceKey, Limits};
use graceful_rules::command::Command;
use graceful_rules::membership::Registration;
use graceful_store::{Engine as _, Options};

use crate::invariants::History;
use crate::phone::{Action, Phone};
use crate::relay::{Relay, Sent, Wire};
use graceful_testing::disk::{Disk, File};
use graceful_testing::random::SeededRng;

/// Steps with troubles, and steps to come to rest after them.
const STEPS: u64 = 1_500;
const REST_STEPS: u64 = 60_000;

const DAY_MS: u64 = 24 * 3_600 * 1_000;

/// What kind of history it is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// None: the relay as it is.
    Honest,
    /// The writer answers before its commit is on disk.
    AnswerBeforeCommit,
    /// A day's key is used before it is on disk.
    KeyNotSynced,
    /// A commit is answered although the journal has not reached the disk.
    JournalNotSynced,
    /// The same of the store's own file, for commits that do not go through the journal.
    StoreNotSynced,
}

struct Line {
    phone: usize,
    to_relay: VecDeque<Bytes>,
    to_phone: VecDeque<Sent>,
}

/// Everything there is.
pub struct World {
    pub rng: SeededRng,
    disk: Disk,
    options: Options,
    pub relay: Option<Relay>,
    pub phones: Vec<Phone>,
    lines: BTreeMap<Wire, Line>,
    next_wire: Wire,
    now_ms: u64,
    named: u64,
    joining: Option<(DeviceKeys, Joining)>,
    removing: bool,
    /// Devices that joined and have not received a snapshot yet.
    just_joined: Vec<DeviceKey>,
    pub history: History,
    sabotage: Sabotage,
    /// Something was committed since everything was folded in.
    unfolded: bool,
    /// A digest of all that happened.
    pub trace: u64,
}

impl World {
    pub fn new(seed: u64, sabotage: Sabotage) -> Self {
        let mut rng = SeededRng::new(seed);
        let limits = Limits {
            retention_s: [120, 2 * 24 * 3_600, 30 * 24 * 3_600][rng.below(3) as usize],
            envelope_bytes_max: 1_000,
            window_bytes: 8 * 1024,
            push_envelopes_max: 5,
            in_flight_frames_max: 3,
            account_envelopes_max: if rng.once_in(3) { 60 } else { 10_000 },
            ..Limits::default()
        };
        let options = Options {
            limits,
            registration: Registration::Open,
            cache_bytes: 1 << 20,
            journal_bytes: [16 * 1024, 128 * 1024, 16 << 20][rng.below(3) as usize],
            direct_write_min_bytes: [0, 2 * 1024, 512 * 1024][rng.below(3) as usize],
            ..Options::default()
        };
        let disk = Disk::new();
        if sabotage == Sabotage::KeyNotSynced {
            disk.lie_about(File::Keys);
        }
        if sabotage == Sabotage::JournalNotSynced {
            disk.lie_about(File::Journal);
            disk.lie_about(File::OtherJournal);
        }
        if sabotage == Sabotage::StoreNotSynced {
            disk.lie_about(File::Store);
        }
        let phones = vec![Phone::create("phone 0", &mut rng)];
        let mut world = Self {
            rng,
            disk,
            options,
            relay: None,
            phones,
            lines: BTreeMap::new(),
            next_wire: 0,
            now_ms: 1,
            named: 0,
            joining: None,
            removing: false,
            just_joined: Vec::new(),
            history: History::default(),
            sabotage,
            unfolded: false,
            trace: 0,
        };
        world.history.unlimited = world.options.limits.account_envelopes_max > 1_000;
        world.history.retention_ms = u64::from(world.options.limits.retention_s) * 1_000;
        world.start_relay();
        world
    }

    /// Lives through the whole history, and comes to rest.
    pub fn run(&mut self) -> Result<(), String> {
        for _ in 0..STEPS {
            self.step(true);
        }
        self.disk.crash(&mut self.rng);
        self.relay_died();
        for _ in 0..REST_STEPS {
            if self.is_idle() {
                return Ok(());
            }
            self.step(false);
        }
        let restless = self
            .phones
            .iter()
            .filter(|phone| !phone.is_up_to_date() && !phone.is_refused());
        let states = restless.map(|phone| {
            let session = self
                .relay
                .as_ref()
                .zip(phone.wire)
                .map(|(relay, wire)| relay.describe(wire));
            format!(
                "{:?} given {}\n  {session:?}",
                phone.state,
                phone.has_given()
            )
        });
        Err(format!(
            "it did not come to rest:\n{}",
            states.collect::<Vec<_>>().join("\n")
        ))
    }

    fn note(&mut self, what: u64) {
        self.trace = (self.trace ^ what)
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(17);
    }

    /// One thing happens.
    fn step(&mut self, faults: bool) {
        let dice = self.rng.below(100);
        self.note(dice ^ self.now_ms);
        match dice {
            0..25 => self.deliver_to_relay(),
            25..50 => self.deliver_to_phone(),
            50..62 => self.commit(),
            62..72 => self.fetch(),
            72..82 => self.apply(),
            82..90 => self.pass_time(faults),
            90..96 if faults => self.push(),
            96..98 if faults => self.change_members(),
            98.. if faults => self.inject_fault(),
            _ => self.pass_time(false),
        }
        self.finish_join();
        self.notify_joined();
        if self.disk.is_dead() {
            self.relay_died();
        }
        if self.relay.is_none() && (!faults || self.rng.once_in(10)) {
            self.start_relay();
        }
        for phone in 0..self.phones.len() {
            if !self.phones[phone].is_awake() && (!faults || self.rng.once_in(10)) {
                self.phones[phone].wake(&mut self.rng);
            }
        }
    }

    fn is_idle(&self) -> bool {
        let wires_quiet = self
            .lines
            .values()
            .all(|line| line.to_relay.is_empty() && line.to_phone.is_empty());
        let relay_quiet = self
            .relay
            .as_ref()
            .is_some_and(|relay| !relay.has_changes() && relay.fetching().is_empty());
        let done = |phone: &Phone| phone.is_up_to_date() || phone.is_refused();
        // A started membership change must finish before owed changes are certain.
        let told = self.just_joined.is_empty() || self.history.is_anybody_leaving();
        wires_quiet && relay_quiet && told && self.phones.iter().all(done) && self.acks_are_in()
    }

    /// Every device's acks have reached the relay.
    fn acks_are_in(&self) -> bool {
        let Some(relay) = &self.relay else {
            return false;
        };
        self.phones
            .iter()
            .filter(|phone| !phone.is_refused())
            .all(|phone| {
                let Some(engine) = phone.engine() else {
                    return false;
                };
                let device_state = relay
                    .store()
                    .find(&phone.account, &phone.key)
                    .ok()
                    .flatten();
                device_state.is_some_and(|device_state| {
                    device_state.cursor >= engine.state().inbox().cursor()
                })
            })
    }

    // ---------------------------------------------------------------- wires

    fn say(&mut self, sent: Vec<(Wire, Sent)>) {
        for (wire, sent) in sent {
            if let Some(line) = self.lines.get_mut(&wire) {
                line.to_phone.push_back(sent);
            }
        }
    }

    fn any_line(&mut self, wanted: impl Fn(&Wire, &Line) -> bool) -> Option<Wire> {
        let wires = self
            .lines
            .iter()
            .filter(|(wire, line)| wanted(wire, line))
            .map(|(wire, _)| *wire)
            .collect::<Vec<_>>();
        let at = self.rng.below(wires.len() as u64);
        wires.get(usize::try_from(at).expect("small")).copied()
    }

    fn deliver_to_relay(&mut self) {
        let relay = self.relay.take();
        let ready = |wire: &Wire, line: &Line| {
            !line.to_relay.is_empty()
                && relay
                    .as_ref()
                    .is_some_and(|relay| relay.wants_frames(*wire))
        };
        let wire = self.any_line(ready);
        self.relay = relay;
        let (Some(wire), Some(relay)) = (wire, &mut self.relay) else {
            return;
        };
        let line = self.lines.get_mut(&wire).expect("chosen");
        let bytes = line.to_relay.pop_front().expect("not empty");
        self.trace ^= bytes.len() as u64;
        let key = self.phones[line.phone].key;
        let sent = relay.handle_frame(wire, bytes, self.now_ms);
        if let Some(member) = relay.member(wire) {
            self.history.serves(member.device, key);
        }
        self.say(sent);
    }

    fn deliver_to_phone(&mut self) {
        let Some(wire) = self.any_line(|_, line| !line.to_phone.is_empty()) else {
            return;
        };
        let line = self.lines.get_mut(&wire).expect("chosen");
        let (phone, sent) = (line.phone, line.to_phone.pop_front().expect("not empty"));
        let now_ms = self.now_ms;
        match sent {
            Sent::Frame(bytes) => {
                self.note(bytes.len() as u64);
                let frame = frame::from_relay(bytes).expect("the relay follows the protocol");
                self.phones[phone].with(|engine| engine.handle_frame(frame, now_ms));
            }
            Sent::Close => self.cut(wire),
        }
        self.drain(phone);
    }

    /// A wire breaks: what was on it is gone, and both ends notice.
    fn cut(&mut self, wire: Wire) {
        let Some(line) = self.lines.remove(&wire) else {
            return;
        };
        if let Some(relay) = &mut self.relay {
            relay.disconnect(wire);
        }
        let phone = &mut self.phones[line.phone];
        if phone.wire == Some(wire) {
            phone.wire = None;
            let now_ms = self.now_ms;
            phone.with(|engine| engine.handle_disconnected(now_ms));
        }
    }

    fn drain(&mut self, phone: usize) {
        let dies =
            (self.sabotage == Sabotage::Honest && self.rng.once_in(400)).then(|| self.rng.below(4));
        let actions = self.phones[phone].drain(dies);
        self.perform(phone, actions);
        if !self.phones[phone].is_awake()
            && let Some(wire) = self.phones[phone].wire
        {
            self.cut(wire);
        }
    }

    fn perform(&mut self, phone: usize, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Dial => self.dial(phone),
                Action::Send(frame) => self.send(phone, frame),
                Action::HangUp => {
                    if let Some(wire) = self.phones[phone].wire {
                        self.cut(wire);
                    }
                }
            }
        }
    }

    fn dial(&mut self, phone: usize) {
        let now_ms = self.now_ms;
        let Some(relay) = &mut self.relay else {
            self.phones[phone].with(|engine| engine.handle_disconnected(now_ms));
            return;
        };
        self.next_wire += 1;
        let wire = self.next_wire;
        let sent = relay.connect(wire, &mut self.rng, now_ms);
        let line = Line {
            phone,
            to_relay: VecDeque::new(),
            to_phone: VecDeque::new(),
        };
        self.lines.insert(wire, line);
        self.phones[phone].wire = Some(wire);
        self.phones[phone].with(|engine| engine.handle_connected("localhost", now_ms));
        self.say(sent);
    }

    fn send(&mut self, phone: usize, frame: DeviceFrame) {
        let wire = self.phones[phone].wire;
        if let Some(line) = wire.and_then(|wire| self.lines.get_mut(&wire)) {
            line.to_relay.push_back(frame::device_bytes(frame));
        }
    }

    // ---------------------------------------------------------------- the relay

    fn start_relay(&mut self) {
        // A crash may come while it opens, too: then it opens once more.
        if let Ok(relay) = Relay::start(&self.disk, &self.options, &mut self.rng, self.now_ms) {
            self.history.reopened(&relay, &self.phones);
            self.relay = Some(relay);
            if self.disk.is_dead() {
                self.relay_died();
            }
        } else {
            assert!(self.disk.is_dead(), "the store opens on a disk that works");
            self.disk.crash(&mut self.rng);
        }
    }

    fn relay_died(&mut self) {
        // In this order: a process that dies closes nothing.
        self.disk.crash(&mut self.rng);
        self.history.replayed += usize::from(self.unfolded && self.relay.is_some());
        drop(self.relay.take());
        for wire in self.lines.keys().copied().collect::<Vec<_>>() {
            self.cut(wire);
        }
    }

    fn commit(&mut self) {
        let Some(relay) = self.relay.as_mut().filter(|relay| relay.has_changes()) else {
            return;
        };
        let waiting = relay.waiting().cloned().collect::<Vec<Command>>();
        let before = (self.sabotage == Sabotage::AnswerBeforeCommit).then(|| self.disk.copy());
        match relay.commit(self.now_ms) {
            Ok((outcomes, sent)) => {
                self.history.committed(&waiting, &outcomes);
                self.unfolded = true;
                self.say(sent);
                if let Some(before) = before.filter(|_| self.rng.once_in(20)) {
                    self.forget_commit(before);
                }
            }
            Err(_) => {
                assert!(self.disk.is_dead(), "a commit fails only with the disk");
                self.history.uncertain(waiting);
            }
        }
    }

    /// What a writer that answers too early does when the power fails: the answers are out, and the
    /// commit is not on the disk.
    fn forget_commit(&mut self, before: Disk) {
        while self.lines.values().any(|line| !line.to_phone.is_empty()) {
            self.deliver_to_phone();
        }
        drop(self.relay.take());
        self.disk = before;
        self.relay_died();
    }

    fn fetch(&mut self) {
        let now_ms = self.now_ms;
        let Some(relay) = &mut self.relay else {
            return;
        };
        let fetching = relay.fetching();
        let at = usize::try_from(self.rng.below(fetching.len() as u64)).expect("small");
        if let Some(wire) = fetching.get(at) {
            match relay.fetch(*wire, now_ms) {
                Ok(sent) => self.say(sent),
                Err(_) => assert!(self.disk.is_dead(), "a look fails only with the disk"),
            }
        }
    }

    // ---------------------------------------------------------------- devices

    fn any_phone(&mut self) -> usize {
        usize::try_from(self.rng.below(self.phones.len() as u64)).expect("small")
    }

    fn apply(&mut self) {
        let phone = self.any_phone();
        for _ in 0..=self.rng.below(3) {
            if self.phones[phone].is_awake() && self.phones[phone].has_given() {
                self.phones[phone].apply(self.now_ms);
            }
        }
        self.drain(phone);
    }

    fn push(&mut self) {
        let phone = self.any_phone();
        let count = 1 + self.rng.below(8);
        let knows_limits = self.phones[phone].knows_limits();
        let names = (0..count).map(|at| {
            let large = if knows_limits && self.rng.once_in(6) {
                "large "
            } else {
                ""
            };
            format!("{large}change {}", self.named + at)
        });
        let names = names.collect::<Vec<_>>();
        let members = self.phones[phone].members();
        let others = members
            .iter()
            .copied()
            .filter(|key| *key != self.phones[phone].key)
            .collect::<Vec<_>>();
        let recipient = if self.rng.once_in(6) {
            others
                .get(usize::try_from(self.rng.below(3)).expect("small"))
                .copied()
        } else {
            None
        };
        if self.phones[phone].push(&names, recipient, self.now_ms) {
            let sender = self.phones[phone].key;
            self.named += count;
            let for_all = recipient.is_none();
            let owed = recipient.map_or(others, |one| vec![one]);
            // Only what the disk has can be promised: the outputs are drained without a death.
            let actions = self.phones[phone].drain(None);
            for name in names {
                self.history.pushed(sender, name, owed.clone(), for_all);
            }
            self.perform(phone, actions);
        }
        self.drain(phone);
    }

    /// A device joins, or is removed: one at a time.
    fn change_members(&mut self) {
        let phone = self.any_phone();
        if self.joining.is_some() {
            self.ask_to_join(phone);
        } else if self.phones.len() < 5 && self.rng.once_in(2) {
            self.joining = Some(Phone::joining(
                &format!("phone {}", self.phones.len()),
                &mut self.rng,
            ));
            self.ask_to_join(phone);
        } else if self.phones.len() > 2 && !self.removing && self.rng.once_in(3) {
            let members = self.phones[phone].members();
            let at = usize::try_from(self.rng.below(members.len() as u64)).expect("small");
            if let Some(device) = members
                .get(at)
                .filter(|device| **device != self.phones[phone].key)
            {
                let (device, now_ms) = (*device, self.now_ms);
                self.removing = true;
                self.history.leaving(device);
                self.phones[phone].with(|engine| {
                    let _ = engine.remove_device(device, now_ms);
                });
                self.drain(phone);
            }
        }
    }

    /// A device is asked to add the new one; asked again if it died and forgot.
    fn ask_to_join(&mut self, phone: usize) {
        if let Some((_, joining)) = self.joining.clone() {
            let now_ms = self.now_ms;
            self.phones[phone].with(|engine| {
                let _ = engine.add_device(joining, now_ms);
            });
            self.drain(phone);
        }
    }

    /// The new device starts once a member's log contains it.
    fn finish_join(&mut self) {
        let Some((keys, joining)) = self.joining.take() else {
            return;
        };
        let account = self.phones.iter().find_map(|phone| {
            let shown = phone.members().contains(&keys.device());
            phone.engine().filter(|_| shown)?.bundle()
        });
        match account {
            Some(account) => {
                self.just_joined.push(keys.device());
                let identity = Identity {
                    keys,
                    device_id: joining.name,
                    account,
                };
                self.phones.push(Phone::new(identity, &mut self.rng));
            }
            None => self.joining = Some((keys, joining)),
        }
    }

    /// One device tells the newest what came before: any that sees it in its log, and has the past.
    fn notify_joined(&mut self) {
        let Some(joining_phone) = self.just_joined.first().copied() else {
            return;
        };
        let (phone, now_ms) = (self.any_phone(), self.now_ms);
        let knows =
            self.phones[phone].has_past && self.phones[phone].members().contains(&joining_phone);
        if knows && self.phones[phone].send_snapshot(joining_phone, now_ms) {
            self.just_joined.remove(0);
            let actions = self.phones[phone].drain(None);
            self.perform(phone, actions);
        }
    }

    fn pass_time(&mut self, faults: bool) {
        self.now_ms += match self.rng.below(40) {
            0 if faults && self.rng.once_in(2) => self.rng.below(2 * DAY_MS),
            0 if faults => self.rng.below(200_000),
            1..10 => self.rng.below(3_000),
            10..20 if !faults => self.rng.below(10_000),
            _ => self.rng.below(100),
        };
        let now_ms = self.now_ms;
        if let Some(relay) = &mut self.relay {
            let sent = relay.tick(now_ms);
            if self.rng.once_in(20) && faults {
                relay.sweep();
            }
            self.say(sent);
            self.retire_day_keys();
            if self.rng.once_in(10) {
                self.flush();
            }
        }
        for phone in 0..self.phones.len() {
            self.phones[phone].with(|engine| engine.handle_timeout(now_ms));
            self.drain(phone);
        }
    }

    /// The folder's turn, or the janitor's when it has all folded in.
    fn flush(&mut self) {
        let Some(relay) = &self.relay else {
            return;
        };
        let all = self.rng.once_in(4);
        let folded = if all {
            relay.store().flush_all()
        } else {
            relay.store().flush()
        };
        match folded {
            Ok(()) => {
                self.unfolded &= !all;
                self.history.folded += usize::from(all);
            }
            Err(_) => {
                assert!(
                    self.disk.is_dead(),
                    "what is in the journal fits the store, or the disk has failed"
                )
            }
        }
    }

    /// The janitor's other round.
    fn retire_day_keys(&mut self) {
        let Some(relay) = &self.relay else {
            return;
        };
        match relay.retire_day_keys(self.now_ms) {
            Ok(retired) => self.history.keys_retired += retired,
            Err(_) => assert!(
                self.disk.is_dead(),
                "a key is overwritten, or the disk has failed"
            ),
        }
    }

    /// The file of the keys, as it is on the disk at the end.
    pub fn key_file(&self) -> Vec<u8> {
        self.disk.bytes(File::Keys)
    }

    /// When it is.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    // ---------------------------------------------------------------- troubles

    fn inject_fault(&mut self) {
        match self.rng.below(6) {
            0 | 1 => {
                if let Some(wire) = self.any_line(|_, _| true) {
                    let phone = self.lines[&wire].phone;
                    self.cut(wire);
                    self.drain(phone);
                }
            }
            2 => {
                let phone = self.any_phone();
                self.phones[phone].kill();
                self.drain(phone);
            }
            3 => self.relay_died(),
            4 => {
                let operations = self.rng.below(120);
                self.disk.light_fuse(operations);
            }
            // Two devices lose their connection at once: they reconnect at random times.
            _ => {
                for wire in self.lines.keys().copied().collect::<Vec<_>>() {
                    self.cut(wire);
                }
                for phone in 0..self.phones.len() {
                    self.drain(phone);
                }
            }
        }
    }

    /// The keys of the devices that belong at the end, as the relay sees it.
    pub fn remaining(&self) -> Vec<DeviceKey> {
        self.phones
            .iter()
            .filter(|phone| !phone.is_refused())
            .map(|phone| phone.key)
            .collect()
    }
}
