//! A session with an arbitrary device, driven by a relay that answers in any order with any
//! outcome.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use graceful_protocol::challenge::Challenge;
use graceful_protocol::frame::{DeviceFrame, from_device};
use graceful_protocol::recovery::RecoveryChallenge;
use graceful_protocol::wire::gap::Reason;
use graceful_protocol::wire::{self, Authenticate, Delivered, Envelope, SignedEntry};
use graceful_protocol::{
    AccountId, Code, DeviceKey, Limits, Refusal, RelayId, RendezvousId, StoreEpoch, VERSION,
    membership,
};
use graceful_rules::command::{
    AccountPage, AccountVersion, Command, DeviceState, Fetch, FetchResult, Member, Outcome, Pushed,
    RecoverableAccount,
};
use graceful_rules::membership::Registration;
use graceful_rules::push::IncomingEnvelope;
use graceful_rules::session::{Output, ServerNames, Session, SessionConfig};
use graceful_rules::{AccountNumber, DeviceIndex, Gap};

use super::script::Script;

const NONCE: [u8; 32] = [0x4e; 32];
const EPOCH: StoreEpoch = StoreEpoch::new([0x45; 16]);
const MEMBER: Member = Member {
    account: AccountNumber(1),
    device: DeviceIndex(0),
};
/// After these many answers a session that asks for more will never stop.
const ANSWERS_MAX: usize = 10_000;

pub fn session(data: &[u8]) {
    let mut script = Script::new(data);
    let mut driver = Driver::new();
    while !script.is_empty() {
        driver.step(&mut script);
        driver.drain();
    }
    driver.settle();
}

/// The relay around a session, and what its store holds of one account.
struct Driver {
    session: Session,
    commits: VecDeque<Command>,
    outputs: VecDeque<Output>,
    closed: bool,
    now_ms: u64,
    head: u64,
    entries: u64,
    pushed: u64,
}

impl Driver {
    fn new() -> Self {
        let limits = Limits {
            push_envelopes_max: 4,
            in_flight_frames_max: 3,
            window_bytes: 2_000,
            rendezvous_bytes_max: 300,
            ..Limits::default()
        };
        let config = SessionConfig {
            relay_id: RelayId::new([1; 16]),
            epoch: EPOCH,
            limits,
            registration: Registration::Open,
            server_names: ServerNames::new(["relay.example".to_owned()]),
            auth_timeout_ms: 10_000,
        };
        Self {
            session: Session::new(Arc::new(config), NONCE, 5, 0),
            commits: VecDeque::new(),
            outputs: VecDeque::new(),
            closed: false,
            now_ms: 0,
            head: 0,
            entries: 1,
            pushed: 0,
        }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 12 {
            0..=4 => {
                if let Some(frame) = frame(script).filter(|_| self.session.wants_frames()) {
                    self.session.handle_frame(frame, self.now_ms);
                }
            }
            5 | 6 => self.answer_commit(script),
            7 => self.answer_errand(script),
            8 => {
                self.head += u64::from(script.byte() % 8);
                self.entries += u64::from(script.byte() % 2);
                let revision = script.number();
                self.session.on_account_changed(AccountVersion {
                    head: self.head,
                    membership_count: self.entries,
                    revision,
                });
            }
            9 => {
                self.now_ms += script.number().min(1 << 40);
                self.session.handle_timeout(self.now_ms);
            }
            10 => match script.byte() % 8 {
                0 => self.session.shut_down(script.number()),
                1 => self
                    .session
                    .on_rendezvous_message(RendezvousId::new([3; 16]), Bytes::new()),
                2 => self.session.on_rendezvous_closed(),
                3 => self
                    .session
                    .on_rendezvous_reply(RendezvousId::new([3; 16]), Bytes::new()),
                _ => self.session.refuse(refusal(script)),
            },
            _ => self.drain(),
        }
    }

    /// Takes what the session asks for. After Close it must ask for nothing.
    fn drain(&mut self) {
        while let Some(request) = self.session.poll_output() {
            assert!(!self.closed, "asked after it was closed: {request:?}");
            match request {
                Output::Send(_) | Output::ReplyRendezvous { .. } => {}
                Output::Close { .. } => {
                    self.closed = true;
                    assert!(self.session.is_closed());
                }
                Output::Commit(command) => self.commits.push_back(command),
                output => self.outputs.push_back(output),
            }
        }
        assert!(
            self.session.is_closed() == self.closed,
            "it is over exactly when it is closed"
        );
    }

    /// Commits are answered in order.
    fn answer_commit(&mut self, script: &mut Script<'_>) {
        let Some(command) = self.commits.pop_front() else {
            return;
        };
        let outcome = if script.byte() % 4 == 3 {
            Outcome::Refused(refusal(script))
        } else {
            self.outcome(command)
        };
        self.session.on_committed(outcome);
    }

    /// What the store would say.
    fn outcome(&mut self, command: Command) -> Outcome {
        match command {
            Command::CreateAccount { .. } => Outcome::AccountCreated,
            Command::AppendMembership { entries, .. }
            | Command::RestoreMembership { entries, .. }
            | Command::RecoverAccount { entries, .. } => {
                self.entries += entries.len() as u64;
                Outcome::MembershipAppended
            }
            Command::Push { envelopes, .. } => Outcome::Pushed(self.push(&envelopes)),
            Command::Ack { through, .. } if through > self.head => {
                Outcome::Refused(Refusal::new(Code::AckBeyondHead, "beyond the head"))
            }
            Command::Ack { .. } => Outcome::Acked,
            Command::DeleteThrough { through, .. } => Outcome::Deleted {
                through,
                envelopes: 1,
            },
            Command::DeleteAccount { .. } => Outcome::AccountDeleted { envelopes: 1 },
            Command::Sweep | Command::DropCorrupted { .. } => Outcome::Swept {
                envelopes: 1,
                more: false,
            },
            Command::CreateInvite { .. } | Command::SetQuota { .. } | Command::SaveClock => {
                unreachable!("no device can ask for this")
            }
        }
    }

    fn push(&mut self, envelopes: &[IncomingEnvelope]) -> Pushed {
        let mut pushed = Pushed::default();
        for IncomingEnvelope { envelope, .. } in envelopes {
            if envelope.push_number == self.pushed + 1 {
                self.pushed += 1;
                self.head += 1;
                pushed.record_stored(envelope.push_number, self.head);
            } else if envelope.push_number <= self.pushed {
                pushed.record_duplicate(envelope.push_number);
            } else {
                let expected = self.pushed + 1;
                let refusal = Refusal::new(Code::PushOutOfOrder, "not its turn").expected(expected);
                pushed.refusal = Some(refusal.push_number(envelope.push_number));
                break;
            }
        }
        pushed
    }

    fn answer_errand(&mut self, script: &mut Script<'_>) {
        let Some(output) = self.outputs.pop_front() else {
            return;
        };
        match output {
            Output::FindDevice { account, .. } => {
                let device_state = (script.byte() % 4 != 3).then(|| self.device_state(account));
                self.session.on_device_found(device_state);
            }
            Output::Fetch(look) => {
                let view = match script.byte() % 8 {
                    0 => FetchResult::AccountDeleted,
                    1 => FetchResult::NotAMember,
                    2 => FetchResult::SweepFirst,
                    3 => FetchResult::Corrupted {
                        seq: look.after + 1,
                    },
                    _ => FetchResult::Page(self.view(look, script.byte(), script.byte())),
                };
                self.session.on_fetched(view);
            }
            Output::FindRecoveryKey { .. } => {
                let found = (script.byte() % 4 != 3).then(|| self.recoverable_account());
                self.session.on_recovery_key_found(found);
            }
            Output::FetchMembership { entries_from, .. } => {
                let view = match script.byte() % 8 {
                    0 => FetchResult::AccountDeleted,
                    _ => self.log(entries_from),
                };
                self.session.on_fetched(view);
            }
            Output::OpenRendezvous { id, .. } => {
                let opened = if script.byte().is_multiple_of(2) {
                    Ok(())
                } else {
                    Err(refusal(script))
                };
                self.session.on_rendezvous_opened(id, opened);
            }
            Output::JoinRendezvous { id, sealed } if script.byte().is_multiple_of(2) => {
                self.session.on_rendezvous_reply(id, sealed)
            }
            Output::JoinRendezvous { .. } => self.session.on_rendezvous_closed(),
            _ => unreachable!("not an output"),
        }
    }

    fn device_state(&self, account: AccountId) -> DeviceState {
        DeviceState {
            account,
            member: MEMBER,
            head: self.head,
            chain: graceful_protocol::chain::START,
            cursor: 0,
            push_number: self.pushed,
            stored_bytes: 0,
            stored_envelopes: 0,
            membership_count: self.entries,
        }
    }

    fn recoverable_account(&self) -> RecoverableAccount {
        RecoverableAccount {
            account: MEMBER.account,
            membership_count: self.entries,
        }
    }

    /// A true view of the log, 16 entries at a time.
    fn log(&self, entries_from: u64) -> FetchResult {
        let entries = (entries_from..self.entries)
            .map(|_| SignedEntry::default())
            .take(16)
            .collect();
        FetchResult::Page(AccountPage {
            entries_from,
            entries,
            membership_count: self.entries,
            ..AccountPage::default()
        })
    }

    /// A true view of the account: as far as `reach` goes, with a gap if `lost`.
    fn view(&self, look: Fetch, reach: u8, lost: u8) -> AccountPage {
        let through = self.head.min(look.after.saturating_add(u64::from(reach)));
        let fits = usize::try_from(look.bytes_max / 400)
            .unwrap_or(usize::MAX)
            .clamp(1, 4);
        let delivered = |seq| Delivered {
            seq,
            sealed: Bytes::from_static(&[1; 400]),
            ..Delivered::default()
        };
        let envelopes: Vec<_> = (look.after + 1..=through)
            .take(fits)
            .map(delivered)
            .collect();
        let gap = Gap {
            from: 1,
            through: u64::from(lost),
            reason: Reason::Expired,
        };
        AccountPage {
            entries_from: look.entries_from,
            entries: (look.entries_from..self.entries)
                .map(|_| SignedEntry::default())
                .take(16)
                .collect(),
            membership_count: self.entries,
            gap: (lost > 0 && gap.through <= through).then_some(gap),
            through: if envelopes.len() == fits {
                envelopes[fits - 1].seq
            } else {
                through
            },
            envelopes,
            head: self.head,
        }
    }

    /// Answers everything that is open: the session must become idle.
    fn settle(&mut self) {
        for _ in 0..ANSWERS_MAX {
            self.drain();
            if self.closed {
                return;
            }
            if let Some(command) = self.commits.pop_front() {
                let outcome = self.outcome(command);
                self.session.on_committed(outcome);
            } else if let Some(output) = self.outputs.pop_front() {
                match output {
                    Output::FindDevice { account, .. } => self
                        .session
                        .on_device_found(Some(self.device_state(account))),
                    Output::Fetch(look) => {
                        self.session
                            .on_fetched(FetchResult::Page(self.view(look, u8::MAX, 0)))
                    }
                    Output::FindRecoveryKey { .. } => self
                        .session
                        .on_recovery_key_found(Some(self.recoverable_account())),
                    Output::FetchMembership { entries_from, .. } => {
                        self.session.on_fetched(self.log(entries_from))
                    }
                    Output::OpenRendezvous { id, .. } => {
                        self.session.on_rendezvous_opened(id, Ok(()))
                    }
                    _ => self.session.on_rendezvous_closed(),
                }
            } else {
                assert!(
                    self.session.is_idle(),
                    "all was answered, and it waits for more"
                );
                assert!(
                    self.session.poll_timeout().is_some(),
                    "it would wait for ever"
                );
                return;
            }
        }
        panic!("it asks without end");
    }
}

fn refusal(script: &mut Script<'_>) -> Refusal {
    let code = Code::try_from(i32::from(script.byte() % 28)).unwrap_or(Code::Overloaded);
    Refusal::new(code, "a made-up refusal").expected(script.number())
}

/// A well-formed frame, or arbitrary bytes.
fn frame(script: &mut Script<'_>) -> Option<DeviceFrame> {
    let id = || Bytes::from_static(&[3; 16]);
    Some(match script.byte() % 14 {
        0 => DeviceFrame::Authenticate(authenticate(script, AccountId::new([8; 32]))),
        1 => {
            let entry = SignedEntry {
                body: script.piece(),
                signature: Bytes::new(),
            };
            let authenticate = Some(authenticate(script, membership::account_id(&entry)));
            DeviceFrame::CreateAccount(wire::CreateAccount {
                authenticate,
                entry: Some(entry),
                invite: String::new(),
            })
        }
        2 | 3 => DeviceFrame::Push(push(script)),
        4 => DeviceFrame::Ack(wire::Ack {
            through: script.number(),
        }),
        5 => DeviceFrame::RecoverAccount(recover(script)),
        6 => DeviceFrame::AppendMembership(wire::AppendMembership {
            first: script.number(),
            entries: vec![entry(script); usize::from(script.byte() % 4)],
        }),
        7 => DeviceFrame::DeleteThrough(wire::DeleteThrough {
            through: script.number(),
        }),
        8 => DeviceFrame::DeleteAccount(wire::DeleteAccount {
            account: Bytes::from_static(&[8; 32]),
        }),
        9 => DeviceFrame::Ping(wire::Ping {
            number: script.number(),
        }),
        10 => {
            let lifetime_s = script.number() as u32;
            DeviceFrame::OpenRendezvous(wire::OpenRendezvous {
                id: id(),
                lifetime_s,
            })
        }
        11 => DeviceFrame::JoinRendezvous(wire::JoinRendezvous {
            id: id(),
            sealed: script.piece(),
        }),
        12 => DeviceFrame::RendezvousReply(wire::RendezvousReply {
            id: id(),
            sealed: script.piece(),
        }),
        _ => return from_device(script.piece()).ok(),
    })
}

fn authenticate(script: &mut Script<'_>, account: AccountId) -> Authenticate {
    let key = SigningKey::from_bytes(&[1; 32]);
    let device = DeviceKey::new(key.verifying_key().to_bytes());
    let host = "relay.example";
    let mut signature = Challenge {
        nonce: &NONCE,
        epoch: EPOCH,
        host,
        account,
        device,
    }
    .sign(&key);
    let how = script.byte();
    signature[0] ^= u8::from(how & 7 == 7);
    Authenticate {
        version: if how & 0x38 == 0x38 {
            script.number() as u32
        } else {
            VERSION
        },
        account: account.to_wire(),
        device: device.to_wire(),
        host: host.to_owned(),
        signature: Bytes::copy_from_slice(&signature),
        membership_count: script.number(),
        entries: vec![SignedEntry::default(); usize::from(how >> 6)],
    }
}

fn recover(script: &mut Script<'_>) -> wire::RecoverAccount {
    let key = SigningKey::from_bytes(&[2; 32]);
    let host = "relay.example";
    let how = script.byte();
    let recovery_key = DeviceKey::new(key.verifying_key().to_bytes());
    let challenge = RecoveryChallenge {
        nonce: &NONCE,
        epoch: EPOCH,
        host,
        key: recovery_key,
    };
    let mut signature = challenge.sign(&key);
    signature[0] ^= u8::from(how & 7 == 7);
    wire::RecoverAccount {
        version: if how & 0x38 == 0x38 {
            script.number() as u32
        } else {
            VERSION
        },
        recovery_key: recovery_key.to_wire(),
        host: host.to_owned(),
        signature: Bytes::copy_from_slice(&signature),
    }
}

/// None at all, or one that says that the recovery key or another has made it.
fn entry(script: &mut Script<'_>) -> SignedEntry {
    let key = match script.byte() % 4 {
        0 => SigningKey::from_bytes(&[2; 32]),
        1 => SigningKey::from_bytes(&[1; 32]),
        _ => return SignedEntry::default(),
    };
    let author = Bytes::copy_from_slice(key.verifying_key().as_bytes());
    membership::sign(
        &wire::MembershipEntry {
            author,
            ..Default::default()
        },
        &key,
    )
}

fn push(script: &mut Script<'_>) -> wire::Push {
    let first = script.number();
    let count = u64::from(script.byte() % 6);
    let envelope = |index| Envelope {
        push_number: first.wrapping_add(index),
        ..Envelope::default()
    };
    wire::Push {
        envelopes: (0..count).map(envelope).collect(),
    }
}
