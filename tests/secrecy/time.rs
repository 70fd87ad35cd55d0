//! How long a stranger waits tells nothing of what the relay keeps.
//!
//! The one test that compares times. In each round every question is asked once, in random order,
//! and of two questions it is noted which took longer. If they cannot be told apart, that is a fair
//! coin, whatever else the machine is doing. The same coin has to fall on one side where a relay
//! that cuts a corner is asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use graceful_protocol::challenge::Challenge;
use graceful_protocol::frame::{DeviceFrame, RelayFrame, relay_bytes};
use graceful_protocol::membership::Membership;
use graceful_protocol::wire::{Authenticate, SignedEntry};
use graceful_protocol::{AccountId, Code, DeviceKey, Limits, VERSION};
use graceful_rules::RelayTime;
use graceful_rules::change::Change;
use graceful_rules::conversation::{Conversation, Hosts, Request, Terms};
use graceful_rules::membership::Registration;
use graceful_store::{Options, Store};

use crate::support;

/// Each asks every question once.
const ROUNDS: u32 = 1_500;

/// Beyond this many standard deviations from an even split, two questions are told apart: a fair
/// coin goes that far once in 500 million tests.
const DEVIATIONS_MAX: f64 = 6.0;

/// Accounts that exist, with 1 to 32 devices each; as many do not exist.
const ACCOUNTS: u8 = 48;
const NONCE: [u8; 32] = [7; 32];
const NOW: RelayTime = RelayTime::from_ms(1);

/// What is asked, of a relay as it is, or of one that cuts a corner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Question {
    UnknownAccount,
    UnknownDevice,
    WrongSignature,
    LogForUnknownAccount,
    LogForAccount,
    /// A relay that reads the row of an account where there is one.
    ReadsTheRow,
    /// A relay that checks signatures only where there is an account.
    ChecksNoSignature,
    /// A relay that compares any offered log with its own.
    ReadsTheLog,
}

use Question::*;

const QUESTIONS: [Question; 8] = [
    UnknownAccount,
    UnknownDevice,
    WrongSignature,
    LogForUnknownAccount,
    LogForAccount,
    ReadsTheRow,
    ChecksNoSignature,
    ReadsTheLog,
];

struct Place {
    store: Store,
    terms: Arc<Terms>,
    _folder: tempfile::TempDir,
    chance: Chance,
}

/// One question, ready to be asked.
struct Asked {
    frame: Authenticate,
    account: AccountId,
    founder: DeviceKey,
}

#[test]
fn a_stranger_learns_nothing_from_the_time_of_an_answer() {
    let mut place = Place::open();
    let mut longer: BTreeMap<(Question, Question), u32> = BTreeMap::new();
    for _ in 0..ROUNDS {
        let times = place.round();
        for (first, first_time) in &times {
            for (second, second_time) in times.iter().filter(|(second, _)| second != first) {
                *longer.entry((*first, *second)).or_default() +=
                    u32::from(first_time > second_time);
            }
        }
    }
    let apart = |first, second| deviations(longer[&(first, second)], longer[&(second, first)]);
    for (first, second) in [
        (UnknownAccount, UnknownDevice),
        (UnknownAccount, WrongSignature),
        (UnknownDevice, WrongSignature),
        (LogForUnknownAccount, LogForAccount),
    ] {
        let deviations = apart(first, second);
        println!("{first:?} and {second:?}: {deviations:.1}");
        assert!(
            deviations < DEVIATIONS_MAX,
            "{first:?} and {second:?} are {deviations:.1} deviations apart"
        );
    }
    // It would have been seen.
    for (first, second) in [
        (UnknownAccount, ReadsTheRow),
        (UnknownDevice, ChecksNoSignature),
        (LogForUnknownAccount, ReadsTheLog),
    ] {
        let deviations = apart(first, second);
        println!("{first:?} and {second:?}: {deviations:.1}");
        assert!(
            deviations > DEVIATIONS_MAX,
            "{first:?} and {second:?} look alike: {deviations:.1}"
        );
    }
}

/// How far a coin is from fair that fell so often on either side; ties do not count.
fn deviations(one: u32, other: u32) -> f64 {
    let (one, other) = (f64::from(one), f64::from(other));
    (one - other).abs() / (one + other).max(1.0).sqrt()
}

impl Place {
    fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let limits = Limits::default();
        let options = Options {
            limits: limits.clone(),
            registration: Registration::Open,
            cache_bytes: 64 << 20,
            ..Options::default()
        };
        let store = Store::open(folder.path(), options).expect("a store");
        for founder in 0..ACCOUNTS {
            let changes = vec![
                Change::Found {
                    entry: support::founding(founder),
                    by: support::device_key(founder),
                    invite: None,
                },
                Change::Regain {
                    account: support::account_id(founder),
                    entries: log(founder),
                },
            ];
            store.commit(changes, NOW).expect("commits");
            let last = support::device_key(founder + devices(founder) - 1);
            assert!(
                store
                    .find(&support::account_id(founder), &last)
                    .expect("reads")
                    .is_some()
            );
        }
        let identity = store.identity();
        let terms = Terms {
            relay_id: identity.relay_id,
            epoch: identity.epoch,
            limits,
            registration: Registration::Open,
            hosts: Hosts::default(),
            authentication_ms_max: 10_000,
        };
        Self {
            store,
            terms: Arc::new(terms),
            _folder: folder,
            chance: Chance::new(),
        }
    }

    /// Asks everything once, in an order of its own, and says how long each took.
    fn round(&mut self) -> Vec<(Question, Duration)> {
        let mut asked: Vec<_> = QUESTIONS
            .iter()
            .map(|question| (*question, self.prepare(*question)))
            .collect();
        for last in (1..asked.len()).rev() {
            let other = self.chance.below(last + 1);
            asked.swap(last, other);
        }
        asked
            .into_iter()
            .map(|(question, asked)| (question, self.ask(question, asked)))
            .collect()
    }

    /// Keys and signatures are fresh each time: some numbers take longer to calculate with.
    fn prepare(&mut self, question: Question) -> Asked {
        let known = !matches!(
            question,
            UnknownAccount | LogForUnknownAccount | ChecksNoSignature
        );
        let number = u8::try_from(self.chance.below(ACCOUNTS.into())).expect("below 48");
        let founder = if known { number } else { number + ACCOUNTS };
        let account = support::account_id(founder);
        let stranger = SigningKey::from_bytes(&self.chance.bytes());
        let mut device = DeviceKey::new(stranger.verifying_key().to_bytes());
        let mut signer = stranger;
        let mut entries = Vec::new();
        match question {
            // In the name of a member.
            WrongSignature => {
                device = support::device_key(founder + self.chance.byte_below(devices(founder)));
            }
            LogForUnknownAccount | LogForAccount | ReadsTheLog => {
                // A good log, but of another account.
                let other = 2 * ACCOUNTS + self.chance.byte_below(ACCOUNTS);
                (device, signer) = (support::device_key(other), support::signing_key(other));
                entries = vec![support::founding(other)];
            }
            _ => {}
        }
        let host = "localhost";
        let challenge = Challenge {
            nonce: &NONCE,
            epoch: self.terms.epoch,
            host,
            account,
            device,
        };
        let mut signature = challenge.sign(&signer).to_vec();
        if question == ChecksNoSignature {
            signature.pop();
        }
        let frame = Authenticate {
            version: VERSION,
            account: account.to_wire(),
            device: device.to_wire(),
            host: host.to_owned(),
            signature: Bytes::from(signature),
            membership_count: 0,
            entries,
        };
        Asked {
            frame,
            account,
            founder: support::device_key(founder),
        }
    }

    /// From the frame to the last byte of the answer, and as it must always be.
    fn ask(&self, question: Question, asked: Asked) -> Duration {
        let Asked {
            frame,
            account,
            founder,
        } = asked;
        let offered = frame.entries.clone();
        let mut conversation = Conversation::greeted(self.terms.clone(), NONCE, 0);
        let mut answer = Bytes::new();
        let begun = Instant::now();
        conversation.received(DeviceFrame::Authenticate(frame), 0);
        while let Some(request) = conversation.next() {
            match request {
                Request::Find { account, device } => {
                    conversation.looked_up(self.store.find(&account, &device).expect("reads"));
                    match question {
                        ReadsTheRow => drop(self.store.find(&account, &founder).expect("reads")),
                        ReadsTheLog => self.regain(account, offered.clone()),
                        _ => {}
                    }
                }
                Request::Send(frame) => answer = relay_bytes(frame),
                Request::Close { .. } => {}
                other => panic!("{question:?} for {account:?} leads to {other:?}"),
            }
        }
        let took = begun.elapsed();
        let answer = graceful_protocol::frame::from_relay(answer).expect("a frame");
        assert!(
            matches!(answer, RelayFrame::Refusal(refusal) if refusal.code() == Code::NotAMember)
        );
        took
    }

    fn regain(&self, account: AccountId, entries: Vec<SignedEntry>) {
        self.store
            .commit(vec![Change::Regain { account, entries }], NOW)
            .expect("commits");
    }
}

fn devices(founder: u8) -> u8 {
    1 + (founder * 5) % 32
}

/// The log of an account whose founder added the devices with the numbers after its own.
fn log(founder: u8) -> Vec<SignedEntry> {
    let mut entries = vec![support::founding(founder)];
    let mut log = Membership::found(&entries[0]).expect("founds");
    for device in founder + 1..founder + devices(founder) {
        let entry = support::adding(&log, founder, device);
        log.append(&entry).expect("follows");
        entries.push(entry);
    }
    entries
}

/// xorshift64*, seeded by the system.
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).expect("the system gives randomness");
        Self(u64::from_le_bytes(seed) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from((self.next() >> 33) % end as u64).expect("below `end`")
    }

    fn byte_below(&mut self, end: u8) -> u8 {
        u8::try_from(self.below(end.into())).expect("below `end`")
    }

    fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&self.next().to_le_bytes());
        }
        bytes
    }
}
