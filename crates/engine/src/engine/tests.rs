//! Engines against a naive relay: each change arrives once and in order, whatever fails.

mod chunking;
mod misbehavior;
mod snapshot;

use std::collections::VecDeque;

use bytes::Bytes;
use proptest::prelude::*;

use super::naive_relay::NaiveRelay;
use super::*;
use crate::keys::DeviceKeys;
use crate::record::Record;
use crate::rng::SeededRng;
use crate::state::{EngineState, Identity};
use graceful_protocol::membership::account_id;
use graceful_protocol::wire::{Delivered, Envelope, Placement, SignedEntry};
use graceful_protocol::{Chain, chain};

/// A device with its disk, its app and its place at the relay.
struct TestDevice {
    identity: Identity,
    engine: Engine,
    disk: Vec<Record>,
    pushed: Vec<Bytes>,
    inbox: VecDeque<Incoming>,
    applied: Vec<Bytes>,
    /// The numbers that the receipts named for what was pushed.
    numbers: Vec<u64>,
    gaps: Vec<Gap>,
    events: Vec<Event>,
    to_relay: VecDeque<DeviceFrame>,
    sent_through: u64,
    seed: u64,
    now_ms: u64,
}

impl TestDevice {
    fn new(identity: Identity, seed: u64) -> Self {
        let state = EngineState::new(&identity).unwrap();
        let engine = Engine::new(state, "", Box::new(SeededRng(seed)));
        let (disk, pushed, applied, events) = Default::default();
        let (inbox, to_relay) = Default::default();
        Self {
            identity,
            engine,
            disk,
            pushed,
            inbox,
            applied,
            numbers: Vec::new(),
            gaps: Vec::new(),
            events,
            to_relay,
            sent_through: 0,
            seed,
            now_ms: 0,
        }
    }

    fn device(&self) -> DeviceKey {
        self.identity.keys.device()
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Persist(record) => self
                    .disk
                    .push(Record::from_bytes(&record.to_bytes()).unwrap()),
                Output::Send(frame) => self.to_relay.push_back(frame),
                Output::Deliver(incoming) => self.inbox.push_back(incoming),
                Output::Event(event) => self.events.push(event),
                Output::Connect => {}
                Output::Close => panic!("the engine closed: {:?}", self.events),
            }
        }
    }

    fn push(&mut self, content: Bytes) {
        self.pushed.push(content.clone());
        let receipt = self
            .engine
            .enqueue([Change::new("t", content)], self.now_ms)
            .unwrap();
        self.numbers.extend(receipt.numbers);
        self.drain();
    }

    fn disconnect(&mut self) {
        self.to_relay.clear();
        self.engine.handle_disconnected(self.now_ms);
        self.drain();
    }

    /// The process dies: what was on disk is all that is left.
    fn crash(&mut self, compacted: bool) {
        self.seed += 1_000;
        let mut state = EngineState::new(&self.identity).unwrap();
        for record in self.disk.drain(..) {
            state.apply(record).unwrap();
        }
        self.disk = state.records();
        if compacted {
            state = EngineState::new(&self.identity).unwrap();
            for record in self.disk.clone() {
                state.apply(record).unwrap();
            }
        }
        self.to_relay.clear();
        self.inbox.clear();
        self.engine = Engine::new(state, "", Box::new(SeededRng(self.seed)));
    }

    fn connect(&mut self, relay: &NaiveRelay) {
        self.now_ms += 70_000;
        self.engine.handle_timeout(self.now_ms);
        self.engine.handle_connected("relay.example", self.now_ms);
        self.engine.handle_frame(relay.greeting(), self.now_ms);
        self.drain();
        self.sent_through = relay.cursors.get(&self.device()).copied().unwrap_or(0);
    }

    /// One frame to the relay and its answers back; whether there was one.
    fn step(&mut self, relay: &mut NaiveRelay) -> bool {
        let Some(frame) = self.to_relay.pop_front() else {
            return false;
        };
        for answer in relay.answer(self.device(), frame) {
            self.engine.handle_frame(answer, self.now_ms);
            self.drain();
        }
        true
    }

    fn receive(&mut self, relay: &NaiveRelay) {
        if self.engine.is_live() {
            if relay.expired_through > self.sent_through {
                let (from, through) = (self.sent_through + 1, relay.expired_through);
                self.engine.handle_frame(
                    RelayFrame::Gap(wire::Gap {
                        from,
                        through,
                        reason: 1,
                    }),
                    self.now_ms,
                );
            }
            self.engine
                .handle_frame(relay.deliver(self.device(), self.sent_through), self.now_ms);
            self.sent_through = relay.log.len() as u64;
            self.drain();
        }
    }

    fn apply_one(&mut self) {
        if let Some(incoming) = self.inbox.pop_front() {
            match &incoming {
                Incoming::Change(received) => self.applied.push(received.content.clone()),
                Incoming::Gap(gap) => self.gaps.push(gap.clone()),
                Incoming::SnapshotRequest { .. } => {}
            }
            self.engine.applied(incoming.position(), self.now_ms);
            self.drain();
        }
    }

    fn settle(&mut self, relay: &mut NaiveRelay) {
        self.disconnect();
        self.connect(relay);
        while self.step(relay) {}
        self.receive(relay);
        while !self.inbox.is_empty() {
            self.apply_one();
        }
        while self.step(relay) {}
    }
}

/// A small envelope limit, and the payload that fits it.
const SMALL_ENVELOPE_BYTES: u64 = 1_000;
const SMALL_CONTENT_BYTES: usize = 631;

/// Two devices of one account, both known to the relay.
fn pair(seed: u64) -> (TestDevice, TestDevice, NaiveRelay) {
    let mut rng = SeededRng(seed);
    let mut first = TestDevice::new(Identity::create("desk", "Desk", &mut rng), seed);
    let mut relay = NaiveRelay {
        epoch: 1,
        ..NaiveRelay::default()
    };
    first.connect(&relay);
    while first.step(&mut relay) {}
    let keys = DeviceKeys::random(&mut rng);
    let (device, agreement) = (keys.device(), keys.agreement().public());
    let joining = Joining {
        device,
        agreement,
        name: "Phone".to_owned(),
    };
    first.engine.add_device(joining, first.now_ms).unwrap();
    first.drain();
    while first.step(&mut relay) {}
    assert!(first.events.contains(&Event::Added(device)));
    let account = first.engine.bundle().unwrap();
    assert_eq!(
        account_id(&account.entries[0]),
        first.engine.account().account()
    );
    let second = TestDevice::new(
        Identity {
            keys,
            device_id: "phone".to_owned(),
            account,
        },
        seed + 500,
    );
    (first, second, relay)
}

#[derive(Debug, Clone)]
enum Step {
    /// The number of chunks, if the relay's envelopes are small.
    Push(bool, usize),
    Connect(bool),
    Disconnect(bool),
    Crash(bool, bool),
    Exchange(bool),
    Receive(bool),
    Apply(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => any::<bool>().prop_map(|side| Step::Push(side, 1)),
        1 => (any::<bool>(), 2_usize..6).prop_map(|(side, parts)| Step::Push(side, parts)),
        2 => any::<bool>().prop_map(Step::Connect),
        1 => any::<bool>().prop_map(Step::Disconnect),
        1 => any::<(bool, bool)>().prop_map(|(side, compacted)| Step::Crash(side, compacted)),
        6 => any::<bool>().prop_map(Step::Exchange),
        3 => any::<bool>().prop_map(Step::Receive),
        3 => any::<bool>().prop_map(Step::Apply),
    ];
    prop::collection::vec(step, 0..80)
}

fn run_steps(sides: &mut [TestDevice; 2], relay: &mut NaiveRelay, steps: &[Step]) {
    for step in steps {
        match *step {
            Step::Push(side, parts) => {
                let side = &mut sides[usize::from(side)];
                // Payloads are distinct and have the expected length.
                let mark = (side.pushed.len() as u32).to_be_bytes();
                let bytes = (SMALL_CONTENT_BYTES - 1) * parts;
                side.push(mark.repeat(bytes / mark.len()).into());
            }
            Step::Connect(side) => {
                let side = &mut sides[usize::from(side)];
                if !side.engine.is_live() {
                    side.disconnect();
                    side.connect(relay);
                }
            }
            Step::Disconnect(side) => sides[usize::from(side)].disconnect(),
            Step::Crash(side, compacted) => sides[usize::from(side)].crash(compacted),
            Step::Exchange(side) => drop(sides[usize::from(side)].step(relay)),
            Step::Receive(side) => sides[usize::from(side)].receive(relay),
            Step::Apply(side) => sides[usize::from(side)].apply_one(),
        }
    }
}

fn saw_no_misbehavior(side: &TestDevice) -> bool {
    !side.events.iter().any(|event| {
        matches!(
            event,
            Event::MisbehaviorDetected(_) | Event::UndecryptableEnvelope { .. }
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn changes_arrive_once_and_in_order(seed in 0_u64..1_000, steps in steps()) {
        let (first, second, mut relay) = pair(seed);
        relay.envelope_bytes_max = SMALL_ENVELOPE_BYTES;
        let mut sides = [first, second];
        run_steps(&mut sides, &mut relay, &steps);
        for side in [0, 1, 0] {
            sides[side].settle(&mut relay);
        }
        prop_assert_eq!(&sides[0].pushed, &sides[1].applied);
        prop_assert_eq!(&sides[1].pushed, &sides[0].applied);
        prop_assert!(sides.iter().all(saw_no_misbehavior));
        prop_assert!(sides.iter().all(|side| side.gaps.is_empty()));
        prop_assert_eq!(relay.repeats, 0);
        prop_assert!(sides.iter().all(|side| side.engine.state().outbox().waiting() == 0));
        prop_assert_eq!(sides[1].engine.account().name(&sides[0].device()), Some("Desk"));
    }

    #[test]
    fn restored_relay_gets_lost_pushes_again(
        seed in 0_u64..1_000,
        before in steps(),
        between in steps(),
        after in steps(),
    ) {
        let (first, second, mut relay) = pair(seed);
        relay.envelope_bytes_max = SMALL_ENVELOPE_BYTES;
        let mut sides = [first, second];
        sides[1].settle(&mut relay);
        run_steps(&mut sides, &mut relay, &before);
        let backup = relay.clone();
        run_steps(&mut sides, &mut relay, &between);
        for side in &mut sides {
            side.disconnect();
        }
        relay = NaiveRelay { epoch: 2, ..backup };
        run_steps(&mut sides, &mut relay, &after);
        for side in [0, 1, 0] {
            sides[side].settle(&mut relay);
        }
        prop_assert_eq!(&sides[0].pushed, &sides[1].applied);
        prop_assert_eq!(&sides[1].pushed, &sides[0].applied);
        prop_assert!(sides.iter().all(saw_no_misbehavior), "{:?} {:?}", sides[0].events, sides[1].events);
        prop_assert!(sides.iter().all(|side| side.gaps.is_empty()));
    }
}

#[test]
fn dropped_envelope_is_detected() {
    let (mut first, mut second, mut relay) = pair(1);
    first.push(Bytes::from_static(b"one"));
    first.push(Bytes::from_static(b"two"));
    while first.step(&mut relay) {}
    relay.log.remove(1);
    second.settle(&mut relay);
    let chain = |event: &Event| {
        matches!(
            event,
            Event::MisbehaviorDetected(
                RelayMisbehavior::ChainMismatch(_) | RelayMisbehavior::DivergentLog(_)
            )
        )
    };
    assert!(second.events.iter().any(chain), "{:?}", second.events);
}

#[test]
fn undecryptable_envelope_is_skipped_and_reported() {
    let (mut first, mut second, mut relay) = pair(1);
    first.push(Bytes::from_static(b"one"));
    first.push(Bytes::from_static(b"two"));
    while first.step(&mut relay) {}
    let mut altered = relay.log[1].1.sealed.to_vec();
    altered[200] ^= 1;
    relay.log[1].1.sealed = altered.into();
    second.settle(&mut relay);
    assert_eq!(second.applied, [Bytes::from_static(b"two")]);
    assert!(
        second
            .events
            .iter()
            .any(|event| matches!(event, Event::UndecryptableEnvelope { seq: 2, .. }))
    );
    assert_eq!(relay.cursors[&second.device()], 3);
}

#[test]
fn removed_device_stops_and_others_use_new_epoch() {
    let (mut first, mut second, mut relay) = pair(1);
    second.settle(&mut relay);
    first
        .engine
        .remove_device(second.device(), first.now_ms)
        .unwrap();
    first.drain();
    while first.step(&mut relay) {}
    assert!(first.events.contains(&Event::Removed(second.device())));
    first.push(Bytes::from_static(b"secret"));
    while first.step(&mut relay) {}
    assert_eq!(
        crate::seal::key_epoch(&relay.log.last().unwrap().1.sealed),
        Some(1)
    );
    let entries = relay.entries[2..].to_vec();
    second.engine.handle_frame(
        RelayFrame::Membership(wire::Membership { first: 2, entries }),
        second.now_ms,
    );
    assert_eq!(
        second.engine.ended().map(|(code, _)| code),
        Some(Code::DeviceRemoved)
    );
}

#[test]
fn refused_push_resumes_at_refused_number() {
    let (mut first, _, mut relay) = pair(1);
    while first.step(&mut relay) {}
    first.push(Bytes::from_static(b"one"));
    let number = first.engine.state().outbox().next_number() - 1;
    first.to_relay.clear();
    let refusal = graceful_protocol::Refusal::new(Code::QuotaBytes, "full").push_number(number);
    first.engine.handle_frame(
        RelayFrame::Refusal(refusal.retry_after_ms(1_000).into()),
        first.now_ms,
    );
    first.drain();
    assert!(first.to_relay.is_empty());
    assert!(
        first
            .events
            .iter()
            .any(|event| matches!(event, Event::PushRefused { .. }))
    );
    first.now_ms += 1_000;
    first.engine.handle_timeout(first.now_ms);
    first.drain();
    while first.step(&mut relay) {}
    assert_eq!(first.engine.state().outbox().waiting(), 0);
}

#[test]
fn batch_enqueued_is_one_record() {
    let (mut first, ..) = pair(1);
    let before = first.disk.len();
    let batch = ["a", "b", "c"].map(|name| Change::new(name, name));
    first.engine.enqueue(batch, first.now_ms).unwrap();
    first.drain();
    let queued = first.disk[before..]
        .iter()
        .filter(|record| matches!(record, Record::Queued(_)));
    assert_eq!(queued.count(), 1, "{:?}", &first.disk[before..]);
}

#[test]
fn pushes_resent_to_restored_relay_count_as_waiting() {
    let (mut first, _, mut relay) = pair(1);
    let backup = relay.clone();
    first.push(Bytes::from_static(b"one"));
    first.push(Bytes::from_static(b"two"));
    while first.step(&mut relay) {}
    assert_eq!(first.engine.state().outbox().waiting(), 0);
    first.disconnect();
    relay = NaiveRelay { epoch: 2, ..backup };
    first.connect(&relay);
    first.step(&mut relay);
    assert!(
        first
            .events
            .iter()
            .any(|event| matches!(event, Event::PushedAgain { .. }))
    );
    assert_ne!(first.engine.state().outbox().waiting(), 0);
    while first.step(&mut relay) {}
    first.receive(&relay);
    assert_eq!(first.engine.state().outbox().waiting(), 0);
    assert_eq!(first.engine.sync_state(), State::UpToDate);
}

#[test]
fn greeting_limits_are_bounded() {
    let (mut first, ..) = pair(1);
    first.disconnect();
    first.engine.handle_connected("relay.example", first.now_ms);
    let limits = Limits {
        frame_bytes_max: u64::MAX,
        envelope_bytes_max: u64::MAX,
        push_envelopes_max: u32::MAX,
        in_flight_frames_max: u32::MAX,
        window_bytes: u64::MAX,
        ..Limits::default()
    };
    let greeting = wire::Greeting {
        epoch: Bytes::from(vec![1; 16]),
        nonce: Bytes::from(vec![9; 32]),
        limits: Some((&limits).into()),
        ..wire::Greeting::default()
    };
    first
        .engine
        .handle_frame(RelayFrame::Greeting(greeting), first.now_ms);
    let limits = first.engine.limits();
    assert!(limits.frame_bytes_max <= 16 << 20 && limits.envelope_bytes_max <= 16 << 20);
    assert!(limits.push_envelopes_max <= 10_000 && limits.in_flight_frames_max <= 64);
    assert!(limits.window_bytes <= 64 << 20);
}

#[test]
fn endless_gaps_close_the_connection() {
    let (mut first, ..) = pair(1);
    assert!(first.engine.is_live());
    let closed = (1..100_000_u64).any(|seq| {
        let gap = wire::Gap {
            from: seq * 2,
            through: seq * 2,
            reason: 1,
        };
        first
            .engine
            .handle_frame(RelayFrame::Gap(gap), first.now_ms);
        std::iter::from_fn(|| first.engine.poll_output()).any(|output| output == Output::Close)
    });
    assert!(closed);
}

fn small_greeting(relay: &NaiveRelay) -> RelayFrame {
    let RelayFrame::Greeting(mut greeting) = relay.greeting() else {
        panic!("it greets")
    };
    greeting.limits = Some(
        (&Limits {
            envelope_bytes_max: 8 * 1024,
            ..Limits::default()
        })
            .into(),
    );
    RelayFrame::Greeting(greeting)
}

#[test]
fn oversized_change_after_limit_shrinks_is_dropped_and_named() {
    let (mut first, _, mut relay) = pair(1);
    first.disconnect();
    let large = Change::new("large", vec![7; 9 * 1024]);
    let receipt = first
        .engine
        .enqueue([large.clone(), Change::new("small", "s")], first.now_ms)
        .unwrap();
    first.drain();
    first.engine.handle_connected("relay.example", first.now_ms);
    first
        .engine
        .handle_frame(small_greeting(&relay), first.now_ms);
    first.drain();
    first.step(&mut relay);
    first.to_relay.clear();
    let refusal =
        graceful_protocol::Refusal::new(Code::EnvelopeTooLarge, "no").push_number(receipt.first);
    first
        .engine
        .handle_frame(RelayFrame::Refusal(refusal.into()), first.now_ms);
    first.drain();
    let dropped = |event: &Event| {
        matches!(event, Event::ChangeDropped { push_number, transaction_id, bytes_max: 8_192, .. }
            if *push_number == receipt.first && transaction_id == "large")
    };
    assert!(first.events.iter().any(dropped), "{:?}", first.events);
    while first.step(&mut relay) {}
    assert_eq!(first.engine.state().outbox().waiting(), 0);
    // The limit is known offline now, also after a restart: the change is split.
    first.crash(true);
    let receipt = first.engine.enqueue([large], first.now_ms).unwrap();
    assert_eq!(receipt.numbers, [receipt.first + 1]);
    let limit = crate::reassembly::CHANGE_BYTES_MAX;
    let error = first
        .engine
        .enqueue([Change::new("t", vec![0; limit + 1])], first.now_ms)
        .unwrap_err();
    assert!(matches!(error, PushError::TooLarge { .. }), "{error}");
}

#[test]
fn false_too_large_refusal_keeps_the_change() {
    let (mut first, _, mut relay) = pair(1);
    while first.step(&mut relay) {}
    first.push(Bytes::from_static(b"one"));
    let number = first.engine.state().outbox().next_number() - 1;
    let refusal = graceful_protocol::Refusal::new(Code::EnvelopeTooLarge, "no").push_number(number);
    first
        .engine
        .handle_frame(RelayFrame::Refusal(refusal.into()), first.now_ms);
    first.drain();
    assert!(first.engine.state().outbox().change(number).is_some());
}

/// Another device on a copy of this profile.
fn copy(side: &TestDevice) -> TestDevice {
    let identity = Identity {
        keys: side.identity.keys.clone(),
        device_id: side.identity.device_id.clone(),
        account: side.identity.account.clone(),
    };
    let mut copy = TestDevice::new(identity, side.seed + 77);
    copy.disk.clone_from(&side.disk);
    copy.crash(true);
    copy.now_ms = side.now_ms;
    copy
}

#[test]
fn copied_profile_renumbers_queued_changes() {
    let (mut first, mut second, mut relay) = pair(1);
    first.push(Bytes::from_static(b"before"));
    while first.step(&mut relay) {}
    let mut restored = copy(&first);
    for content in [b"a", b"b"] {
        first.push(Bytes::from_static(content));
        while first.step(&mut relay) {}
    }
    first.disconnect();
    for content in [b"x", b"y", b"z"] {
        restored.push(Bytes::from_static(content));
    }
    restored.settle(&mut relay);
    assert!(
        restored
            .events
            .iter()
            .any(|event| matches!(event, Event::Renumbered { .. }))
    );
    second.settle(&mut relay);
    let expected: [&[u8]; 6] = [b"before", b"a", b"b", b"x", b"y", b"z"];
    assert_eq!(second.applied, expected);
}

#[test]
fn received_by_profile_copy_is_a_gap() {
    let (mut first, mut second, mut relay) = pair(1);
    second.settle(&mut relay);
    second.push(Bytes::from_static(b"own"));
    while second.step(&mut relay) {}
    second.settle(&mut relay);
    let mut restored = copy(&second);
    first.settle(&mut relay);
    for content in [b"a", b"b"] {
        first.push(Bytes::from_static(content));
        while first.step(&mut relay) {}
    }
    second.settle(&mut relay);
    assert_eq!(second.applied.len(), 2);
    restored.connect(&relay);
    restored.step(&mut relay);
    let Some(Incoming::Gap(gap)) = restored.inbox.front() else {
        panic!("{:?}", restored.inbox)
    };
    let cursor = relay.cursors[&restored.device()];
    assert_eq!((gap.from, gap.through), (cursor - 1, cursor));
    restored.apply_one();
    while restored.step(&mut relay) {}
    restored.crash(true);
    restored.settle(&mut relay);
    assert!(restored.applied.is_empty() && restored.inbox.is_empty());
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0_u64..6,
        Just(1 << 62),
        Just((1 << 62) + 1),
        (u64::MAX - 2)..=u64::MAX
    ]
}

fn hostile_frame() -> impl Strategy<Value = RelayFrame> {
    let some_bytes = || {
        prop_oneof![
            Just(Bytes::new()),
            Just(Bytes::from(vec![1; 32])),
            Just(Bytes::from(vec![1; 450]))
        ]
    };
    let delivered = (
        number(),
        some_bytes(),
        number(),
        some_bytes(),
        some_bytes(),
        any::<bool>(),
    )
        .prop_map(
            |(seq, sender, push_number, sealed, chain, targeted)| Delivered {
                seq,
                sender,
                push_number,
                sealed,
                chain,
                targeted,
            },
        );
    let placement =
        (number(), number(), any::<u32>()).prop_map(|(push_number, seq, count)| Placement {
            push_number,
            seq,
            count,
        });
    prop_oneof![
        (prop::collection::vec(number(), 5)).prop_map(|numbers| RelayFrame::Welcome(
            wire::Welcome {
                head: numbers[0],
                cursor: numbers[1],
                push_number: numbers[2],
                membership_count: numbers[3],
                device_index: numbers[4],
                ..wire::Welcome::default()
            }
        )),
        (number(), prop::collection::vec(placement, 0..3)).prop_map(|(push_number, placements)| {
            RelayFrame::Stored(wire::Stored {
                push_number,
                placements,
            })
        }),
        (prop::collection::vec(delivered, 0..3), number(), number()).prop_map(
            |(envelopes, through, head)| {
                RelayFrame::Deliver(wire::Deliver {
                    envelopes,
                    through,
                    head,
                })
            }
        ),
        (number(), number()).prop_map(|(from, through)| RelayFrame::Gap(wire::Gap {
            from,
            through,
            reason: 1
        })),
        number().prop_map(|first| RelayFrame::Membership(wire::Membership {
            first,
            entries: vec![SignedEntry::default(); 3],
        })),
        (1_i32..27, number(), number(), number()).prop_map(
            |(code, retry_after_ms, push_number, expected)| {
                let message = String::new();
                RelayFrame::Refusal(wire::Refusal {
                    code,
                    message,
                    retry_after_ms,
                    push_number,
                    expected,
                })
            }
        ),
        number().prop_map(|number| RelayFrame::Pong(wire::Pong { number })),
        (number(), any::<u32>(), any::<u32>()).prop_map(|(bytes, count, seconds)| {
            let limits = Limits {
                frame_bytes_max: bytes,
                envelope_bytes_max: bytes,
                push_envelopes_max: count,
                in_flight_frames_max: count,
                window_bytes: bytes,
                ping_interval_s: seconds,
                ..Limits::default()
            };
            RelayFrame::Greeting(wire::Greeting {
                epoch: Bytes::from(vec![1; 16]),
                nonce: Bytes::from(vec![9; 32]),
                limits: Some((&limits).into()),
                ..wire::Greeting::default()
            })
        }),
    ]
}

proptest! {
    #[test]
    fn hostile_frames_never_panic(
        frames in prop::collection::vec((0..3, prop::collection::vec(hostile_frame(), 0..12)), 1..6),
    ) {
        let (mut side, _, relay) = pair(7);
        for (honest, connection) in frames {
            side.engine.handle_disconnected(side.now_ms);
            side.engine.handle_connected("relay.example", side.now_ms);
            if honest > 0 {
                side.engine.handle_frame(relay.greeting(), side.now_ms);
            }
            if honest > 1 {
                let welcome = wire::Welcome { head: 3, membership_count: 2, ..wire::Welcome::default() };
                side.engine.handle_frame(RelayFrame::Welcome(welcome), side.now_ms);
            }
            for frame in connection {
                let _ = side.engine.enqueue([Change::new("t", "x")], side.now_ms);
                side.engine.handle_frame(frame, side.now_ms);
                side.now_ms += 1;
                side.engine.handle_timeout(side.now_ms);
                while let Some(output) = side.engine.poll_output() {
                    if let Output::Deliver(incoming) = output {
                        side.engine.applied(incoming.position(), side.now_ms);
                    }
                }
            }
        }
    }
}
