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
use graceful_rules::command::Command;
use graceful_rules::membership::Registration;
use graceful_rules::session::{Output, ServerNames, Session, SessionConfig};
use graceful_store::{Engine as _, Options, Store};

use graceful_testing::fixtures;

/// Each asks every question once.
const ROUNDS: u32 = 1_500;

/// Beyond this many standard deviations from an even split two requests are distinguishable: a fair
/// coin exceeds it once in 500 million tests.
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
    config: Arc<SessionConfig>,
    _folder: tempfile::TempDir,
    chance: Chance,
}

/// One question, ready to be asked.
struct Asked {
    frame: Authenticate,
    account: AccountId,
    creator: DeviceKey,
}

#[test]
fn answer_time_reveals_nothing_to_stranger() {
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
        for creator in 0..ACCOUNTS {
            let changes = vec![
                Command::CreateAccount {
                    entry: fixtures::genesis(creator),
                    by: fixtures::device_key(creator),
                    invite: None,
                },
                Command::RestoreMembership {
                    account: fixtures::account_id(creator),
                    entries: log(creator),
                },
            ];
            store.commit(&changes, NOW).expect("commits");
            let last = fixtures::device_key(creator + devices(creator) - 1);
            assert!(
                store
                    .find(&fixtures::account_id(creator), &last)
                    .expect("reads")
                    .is_some()
            );
        }
        let identity = store.identity();
        let config = SessionConfig {
            relay_id: identity.relay_id,
            epoch: identity.epoch,
            limits,
            registration: Registration::Open,
            server_names: ServerNames::default(),
            auth_timeout_ms: 10_000,
        };
        Self {
            store,
            config: Arc::new(config),
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
        let creator = if known { number } else { number + ACCOUNTS };
        let account = fixtures::account_id(creator);
        let stranger = SigningKey::from_bytes(&self.chance.bytes());
        let mut device = DeviceKey::new(stranger.verifying_key().to_bytes());
        let mut signer = stranger;
        let mut entries = Vec::new();
        match question {
            // In the name of a member.
            WrongSignature => {
                device = fixtures::device_key(creator + self.chance.byte_below(devices(creator)));
            }
            LogForUnknownAccount | LogForAccount | ReadsTheLog => {
                // A good log, but of another account.
                let other = 2 * ACCOUNTS + self.chance.byte_below(ACCOUNTS);
                (device, signer) = (fixtures::device_key(other), fixtures::signing_key(other));
                entries = vec![fixtures::genesis(other)];
            }
            _ => {}
        }
        let host = "localhost";
        let challenge = Challenge {
            nonce: &NONCE,
            epoch: self.config.epoch,
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
            creator: fixtures::device_key(creator),
        }
    }

    /// From the frame to the last byte of the answer, and as it must always be.
    fn ask(&self, question: Question, asked: Asked) -> Duration {
        let Asked {
            frame,
            account,
            creator,
        } = asked;
        let offered = frame.entries.clone();
        let mut session = Session::resume(self.config.clone(), NONCE, 0);
        let mut answer = Bytes::new();
        let begun = Instant::now();
        session.handle_frame(DeviceFrame::Authenticate(frame), 0);
        while let Some(request) = session.poll_output() {
            match request {
                Output::FindDevice { account, device } => {
                    session.on_device_found(self.store.find(&account, &device).expect("reads"));
                    match question {
                        ReadsTheRow => drop(self.store.find(&account, &creator).expect("reads")),
                        ReadsTheLog => self.regain(account, offered.clone()),
                        _ => {}
                    }
                }
                Output::Send(frame) => answer = relay_bytes(frame),
                Output::Close { .. } => {}
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
            .commit(&[Command::RestoreMembership { account, entries }], NOW)
            .expect("commits");
    }
}

fn devices(creator: u8) -> u8 {
    1 + (creator * 5) % 32
}

/// The log of an account whose creator added the devices with the numbers after its own.
fn log(creator: u8) -> Vec<SignedEntry> {
    let mut entries = vec![fixtures::genesis(creator)];
    let mut log = Membership::from_genesis(&entries[0]).expect("account is created");
    for device in creator + 1..creator + devices(creator) {
        let entry = fixtures::adding(&log, creator, device);
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
