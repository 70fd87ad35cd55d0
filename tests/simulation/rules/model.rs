//! The naive model: an account as a list of envelopes, each with the devices that still need it.

use std::collections::BTreeMap;

use graceful_protocol::membership::Membership;
use graceful_protocol::wire::gap::Reason;
use graceful_protocol::wire::{Envelope, SignedEntry};
use graceful_protocol::{Code, chain};
use graceful_rules::RelayTime;
use graceful_rules::command::{
    Command, DeletionRequest, DeviceState, Fetch, FetchResult, Member, Outcome,
};
use graceful_store::{Engine, Options};

use graceful_testing::fixtures;

/// Something that happens.
#[derive(Debug, Clone)]
pub enum Step {
    Push {
        by: u8,
        count: usize,
        recipient: Option<u8>,
        size: usize,
    },
    Repeat {
        by: u8,
        back: u64,
    },
    Ack {
        by: u8,
        ahead: u64,
    },
    Add {
        by: u8,
        who: u8,
    },
    Remove {
        by: u8,
        who: u8,
    },
    DeleteThrough {
        by: u8,
        through: u64,
    },
    Wait {
        seconds: u64,
    },
    Sweep,
    Close {
        by: u8,
    },
}

#[derive(Debug, Clone)]
struct Sent {
    seq: u64,
    sender: u8,
    recipient: Option<u8>,
    arrived_ms: u64,
    envelope: Envelope,
}

#[derive(Debug, Clone, Default)]
struct ModelDevice {
    cursor: u64,
    push_number: u64,
    lost: Vec<u64>,
}

/// The real store and the model beside it.
pub struct World<S> {
    pub store: S,
    options: Options,
    now_ms: u64,
    marks: u64,
    log: Vec<SignedEntry>,
    kept: Vec<Sent>,
    members: BTreeMap<u8, ModelDevice>,
    removed: Vec<u8>,
    head: u64,
    chain: graceful_protocol::Chain,
    closed: bool,
}

impl<S: Engine> World<S> {
    /// An account with device 1 in it.
    pub fn new(store: S, options: Options) -> Self {
        let entry = fixtures::genesis(1);
        let found = Command::CreateAccount {
            entry: entry.clone(),
            by: fixtures::device_key(1),
            invite: None,
        };
        let outcomes = store
            .commit(&[found], RelayTime::default())
            .expect("commits")
            .outcomes;
        assert_eq!(outcomes, [Outcome::AccountCreated]);
        Self {
            store,
            options,
            now_ms: 0,
            marks: 0,
            log: vec![entry],
            kept: Vec::new(),
            members: BTreeMap::from([(1, ModelDevice::default())]),
            removed: Vec::new(),
            head: 0,
            chain: chain::START,
            closed: false,
        }
    }

    /// Accounts and envelopes in the store.
    pub fn totals(&self) -> (u64, u64) {
        let totals = self.store.totals().expect("reads");
        (totals.accounts, totals.envelopes)
    }

    /// Rows in all tables that belong to accounts.
    pub fn rows(&self) -> u64 {
        self.store.account_row_count().expect("reads")
    }

    fn device_state(&self, device: u8) -> Option<DeviceState> {
        self.store
            .find(&fixtures::account_id(1), &fixtures::device_key(device))
            .expect("reads")
    }

    fn member(&self, device: u8) -> Option<Member> {
        self.device_state(device)
            .map(|device_state| device_state.member)
    }

    fn commit(&self, change: Command) -> Outcome {
        let mut committed = self
            .store
            .commit(&[change], RelayTime::from_ms(self.now_ms))
            .expect("commits");
        committed.outcomes.remove(0)
    }

    pub fn take(&mut self, step: &Step) {
        match *step {
            Step::Push {
                by,
                count,
                recipient,
                size,
            } => self.push(by, count, recipient, size),
            Step::Repeat { by, back } => self.repeat(by, back),
            Step::Ack { by, ahead } => self.ack(by, ahead),
            Step::Add { by, who } => self.add(by, who),
            Step::Remove { by, who } => self.remove(by, who),
            Step::DeleteThrough { by, through } => self.delete_through(by, through),
            Step::Wait { seconds } => self.now_ms += seconds * 1_000,
            Step::Sweep => self.sweep(),
            Step::Close { by } => self.close(by),
        }
    }

    fn push(&mut self, by: u8, count: usize, recipient: Option<u8>, size: usize) {
        let Some(member) = self.member(by) else {
            return;
        };
        let first = self.members[&by].push_number + 1;
        let envelopes = (first..first + count as u64)
            .map(|push_number| {
                self.marks += 1;
                fixtures::pushed(push_number, self.marks, size, recipient)
            })
            .collect::<Vec<_>>();
        let Outcome::Pushed(pushed) = self.commit(Command::push(member, envelopes.clone())) else {
            panic!("a push is answered as a push");
        };
        let known =
            recipient.is_none_or(|device| device != by && self.members.contains_key(&device));
        let room =
            (self.options.limits.account_envelopes_max as usize).saturating_sub(self.kept.len());
        let expected = if known { count.min(room) } else { 0 };
        for envelope in &envelopes[..expected] {
            self.keep(by, recipient, envelope);
        }
        assert_eq!(
            pushed.through,
            (expected > 0).then(|| first + expected as u64 - 1)
        );
        let code = pushed.refusal.map(|refusal| refusal.code);
        let why = match (expected == count, known) {
            (true, _) => None,
            (false, true) => Some(Code::QuotaEnvelopes),
            (false, false) => Some(Code::UnknownRecipient),
        };
        assert_eq!(code, why);
    }

    fn keep(&mut self, by: u8, recipient: Option<u8>, envelope: &Envelope) {
        self.head += 1;
        self.chain = chain::extend(
            &self.chain,
            self.head,
            &fixtures::device_key(by),
            &envelope.sealed,
        );
        let device_model = self.members.get_mut(&by).expect("a member pushes");
        device_model.push_number = envelope.push_number;
        if device_model.cursor == self.head - 1 {
            device_model.cursor = self.head;
        }
        self.kept.push(Sent {
            seq: self.head,
            sender: by,
            recipient,
            arrived_ms: self.now_ms,
            envelope: envelope.clone(),
        });
    }

    /// The last pushes once more, as after a lost answer: stored once.
    fn repeat(&mut self, by: u8, back: u64) {
        let Some(member) = self.member(by) else {
            return;
        };
        let last = self.members[&by].push_number;
        if last == 0 {
            return;
        }
        let envelopes =
            (last.saturating_sub(back).max(1)..=last).map(|n| fixtures::pushed(n, 0, 300, None));
        let Outcome::Pushed(pushed) = self.commit(Command::push(member, envelopes)) else {
            panic!("a push is answered as a push");
        };
        assert_eq!(
            (pushed.through, pushed.placements.len(), pushed.refusal),
            (Some(last), 0, None)
        );
    }

    fn ack(&mut self, by: u8, ahead: u64) {
        let Some(member) = self.member(by) else {
            return;
        };
        let through = self.members[&by].cursor + ahead;
        let outcome = self.commit(Command::Ack {
            by: member,
            through,
        });
        if through > self.head {
            assert!(
                matches!(outcome, Outcome::Refused(refusal) if refusal.code == Code::AckBeyondHead)
            );
            return;
        }
        assert_eq!(outcome, Outcome::Acked);
        let device_model = self.members.get_mut(&by).expect("a member acknowledges");
        device_model.cursor = device_model.cursor.max(through);
        device_model.lost.retain(|seq| *seq > through);
        self.drop_unneeded();
    }

    fn drop_unneeded(&mut self) {
        let members = self.members.clone();
        self.kept.retain(|sent| {
            let readers = members
                .iter()
                .filter(|(device, _)| is_for(sent, **device))
                .collect::<Vec<_>>();
            match (readers.is_empty(), sent.recipient) {
                (true, recipient) => recipient.is_none(),
                (false, _) => readers
                    .iter()
                    .any(|(_, device_model)| device_model.cursor < sent.seq),
            }
        });
    }

    fn append(&mut self, by: u8, entry: SignedEntry) -> Option<Outcome> {
        let member = self.member(by)?;
        let first = self.log.len() as u64;
        let outcome = self.commit(Command::AppendMembership {
            by: member,
            first,
            entries: vec![entry.clone()],
        });
        if outcome == Outcome::MembershipAppended {
            self.log.push(entry);
        }
        Some(outcome)
    }

    fn add(&mut self, by: u8, who: u8) {
        let membership = Membership::replay(&self.log).expect("the model's log is right");
        let entry = fixtures::adding(&membership, by, who);
        let limits = &self.options.limits;
        // With it in, every member could still be removed.
        let entries = self.log.len() + 1 + self.members.len() + 1;
        let fits = entries <= limits.membership_entries_max as usize
            && self.members.len() < limits.account_devices_max as usize;
        let new = !self.members.contains_key(&who) && !self.removed.contains(&who);
        if let Some(outcome) = self.append(by, entry) {
            assert_eq!(
                outcome == Outcome::MembershipAppended,
                fits && new,
                "{outcome:?}"
            );
            if outcome == Outcome::MembershipAppended {
                self.members.insert(who, ModelDevice::default());
            }
        }
    }

    fn remove(&mut self, by: u8, who: u8) {
        let membership = Membership::replay(&self.log).expect("the model's log is right");
        let entry = fixtures::removing(&membership, by, who);
        let may = by != who && self.members.contains_key(&who);
        if let Some(outcome) = self.append(by, entry) {
            assert_eq!(outcome == Outcome::MembershipAppended, may, "{outcome:?}");
            if outcome == Outcome::MembershipAppended {
                self.members.remove(&who);
                self.removed.push(who);
                self.drop_unneeded();
            }
        }
    }

    fn lose(&mut self, gone: impl Fn(&Sent) -> bool) -> u64 {
        let before = self.kept.len();
        for sent in self.kept.iter().filter(|sent| gone(sent)) {
            for (device, device_model) in &mut self.members {
                if is_for(sent, *device) && device_model.cursor < sent.seq {
                    device_model.lost.push(sent.seq);
                }
            }
        }
        self.kept.retain(|sent| !gone(sent));
        (before - self.kept.len()) as u64
    }

    fn delete_through(&mut self, by: u8, through: u64) {
        let Some(member) = self.member(by) else {
            return;
        };
        let outcome = self.commit(Command::DeleteThrough {
            by: member,
            through,
        });
        let envelopes = self.lose(|sent| sent.seq <= through);
        assert_eq!(outcome, Outcome::Deleted { through, envelopes });
    }

    fn sweep(&mut self) {
        let outcome = self.commit(Command::Sweep);
        let (now_ms, retention_ms) = (
            self.now_ms,
            u64::from(self.options.limits.retention_s) * 1_000,
        );
        let envelopes = self.lose(|sent| now_ms >= sent.arrived_ms + retention_ms);
        assert_eq!(
            outcome,
            Outcome::Swept {
                envelopes,
                more: false
            }
        );
    }

    fn close(&mut self, by: u8) {
        let Some(member) = self.member(by) else {
            return;
        };
        let outcome = self.commit(Command::DeleteAccount {
            by: DeletionRequest::Device(member),
        });
        assert_eq!(
            outcome,
            Outcome::AccountDeleted {
                envelopes: self.kept.len() as u64
            }
        );
        self.kept.clear();
        self.members.clear();
        self.closed = true;
    }

    /// The store holds what the model holds, and shows each device what it should see.
    pub fn compare(&mut self) {
        let accounts = u64::from(!self.closed);
        assert_eq!(self.totals(), (accounts, self.kept.len() as u64));
        for device in 1..6 {
            let device_state = self.device_state(device);
            let Some(device_model) = self.members.get(&device) else {
                assert_eq!(device_state, None);
                continue;
            };
            let device_state = device_state.expect("a member is found");
            assert_eq!(
                (
                    device_state.head,
                    device_state.cursor,
                    device_state.push_number,
                    device_state.membership_count
                ),
                (
                    self.head,
                    device_model.cursor,
                    device_model.push_number,
                    self.log.len() as u64
                )
            );
            assert_eq!(device_state.stored_envelopes, self.kept.len() as u64);
            self.compare_view(device, device_state.member, device_model);
        }
    }

    fn compare_view(&self, device: u8, member: Member, device_model: &ModelDevice) {
        let look = Fetch {
            member,
            after: device_model.cursor,
            entries_from: 0,
            bytes_max: u64::MAX,
            at_least_one: true,
        };
        let view = self
            .store
            .fetch(&look, RelayTime::from_ms(self.now_ms))
            .expect("reads");
        let awaited = self
            .kept
            .iter()
            .filter(|sent| is_for(sent, device) && sent.seq > device_model.cursor)
            .collect::<Vec<_>>();
        let retention_ms = u64::from(self.options.limits.retention_s) * 1_000;
        if awaited
            .first()
            .is_some_and(|sent| self.now_ms >= sent.arrived_ms + retention_ms)
        {
            assert_eq!(view, FetchResult::SweepFirst, "nothing expired is shown");
            return;
        }
        let FetchResult::Page(ready) = view else {
            panic!("a member sees its account, not {view:?}");
        };
        assert_eq!(ready.entries, self.log);
        let shown = ready
            .envelopes
            .iter()
            .map(|one| (one.seq, &one.sealed, one.push_number));
        assert!(shown.eq(awaited.iter().map(|sent| (
            sent.seq,
            &sent.envelope.sealed,
            sent.envelope.push_number
        ))));
        assert_eq!(ready.through, self.head);
        let gap = ready
            .gap
            .map(|gap| (gap.from, gap.through, gap.reason == Reason::Unspecified));
        let lost = device_model
            .lost
            .iter()
            .min()
            .zip(device_model.lost.iter().max());
        assert_eq!(gap.is_some(), lost.is_some());
        if let (Some((from, through, unexplained)), Some((first, last))) = (gap, lost) {
            assert!(
                from <= *first && through == *last && !unexplained,
                "{gap:?} tells of {lost:?}"
            );
            assert!(from > device_model.cursor);
        }
        let chain = ready
            .envelopes
            .iter()
            .find(|one| one.seq == self.head)
            .map(|one| one.chain.clone());
        assert!(chain.is_none_or(|chain| *chain == *self.chain.as_bytes()));
    }
}

fn is_for(sent: &Sent, device: u8) -> bool {
    sent.recipient
        .map_or(sent.sender != device, |recipient| recipient == device)
}
