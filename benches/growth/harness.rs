//! A store on disk with accounts and devices, under a simulated clock.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use graceful_loadgen::local::folder_bytes;
use graceful_loadgen::process::{Process, Used};
use graceful_protocol::membership::{Membership, account_id, sign};
use graceful_protocol::wire::membership_entry::Change as EntryChange;
use graceful_protocol::wire::{AddDevice, Envelope, Genesis, MembershipEntry, SignedEntry};
use graceful_protocol::{DeviceKey, Limits, envelope};
use graceful_rules::RelayTime;
use graceful_rules::command::{Command, Fetch, FetchResult, Member, Outcome};
use graceful_rules::membership::Registration;
use graceful_store::{Engine as _, Options, Store};

/// Accounts created, or pushes, per commit while a store is filled.
const FILL: usize = 1_000;

/// Consecutive idle iterations after which a measurement ends.
const IDLE_TURNS_MAX: usize = 100;

/// Cost of one kind of work.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    pub p50_us: f64,
    /// Processor time of each push, ack or envelope.
    pub cpu_us: f64,
    /// Bytes written to the disk for each.
    pub written_bytes: f64,
}

pub struct Account {
    /// The creator first.
    pub devices: Vec<Member>,
    pub pushed: u64,
    /// The newest seq.
    pub head: u64,
    /// Cursor of all devices but the creator.
    pub acked: u64,
}

pub struct Harness {
    pub store: Store,
    pub accounts: Vec<Account>,
    pub now: RelayTime,
    pub sealed: Bytes,
    pub folder: PathBuf,
    /// The account that comes next.
    turn: u64,
}

fn options() -> Options {
    let limits = Limits {
        account_bytes_max: u64::MAX / 2,
        account_envelopes_max: u64::MAX / 2,
        account_devices_max: 100,
        membership_entries_max: 10_000,
        ..Limits::default()
    };
    Options {
        limits,
        registration: Registration::Open,
        ..Options::default()
    }
}

fn key(number: u64) -> SigningKey {
    let mut seed = [5; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    SigningKey::from_bytes(&seed)
}

fn device(key: &SigningKey) -> DeviceKey {
    DeviceKey::new(key.verifying_key().to_bytes())
}

fn genesis(key: &SigningKey) -> SignedEntry {
    let found = Genesis {
        agreement_key: Bytes::from(vec![1; 32]),
        ..Genesis::default()
    };
    let author = device(key).to_wire();
    sign(
        &MembershipEntry {
            author,
            change: Some(EntryChange::Genesis(found)),
            ..MembershipEntry::default()
        },
        key,
    )
}

fn adding(log: &Membership, creator: &SigningKey, added: &SigningKey) -> SignedEntry {
    let add = AddDevice {
        device: device(added).to_wire(),
        agreement_key: Bytes::from(vec![1; 32]),
    };
    let entry = MembershipEntry {
        index: log.count(),
        previous: Bytes::copy_from_slice(log.head().as_bytes()),
        author: device(creator).to_wire(),
        change: Some(EntryChange::Add(add)),
    };
    sign(&entry, creator)
}

impl Harness {
    /// Creates accounts and devices in an empty directory.
    pub fn new(folder: &Path, accounts: usize, devices: usize, bytes: usize) -> Result<Self> {
        let mut sealed = vec![0xa5; envelope::padded_size(bytes.max(envelope::SIZE_MIN))];
        sealed[0] = envelope::FORM;
        let store = Store::open(folder, options())?;
        let mut harness = Self {
            store,
            accounts: Vec::new(),
            now: RelayTime::from_ms(1_000),
            sealed: sealed.into(),
            folder: folder.to_owned(),
            turn: 0,
        };
        for first in (0..accounts).step_by(FILL) {
            harness.create_accounts(first..(first + FILL).min(accounts), devices)?;
        }
        Ok(harness)
    }

    fn create_accounts(&mut self, numbers: std::ops::Range<usize>, devices: usize) -> Result<()> {
        let key = |account: usize, at: usize| key((account * 1_000 + at) as u64);
        let creators: Vec<_> = numbers.clone().map(|number| key(number, 0)).collect();
        let entries: Vec<_> = creators.iter().map(genesis).collect();
        let found = entries
            .iter()
            .zip(&creators)
            .map(|(entry, creator)| Command::CreateAccount {
                entry: entry.clone(),
                by: device(creator),
                invite: None,
            });
        self.commit(found.collect())?;
        let mut appends = Vec::new();
        for ((number, creator), entry) in numbers.clone().zip(&creators).zip(&entries) {
            let member = self.member(entry, &device(creator))?;
            let mut log = Membership::from_genesis(entry)?;
            let mut added = Vec::new();
            for at in 1..devices {
                let entry = adding(&log, creator, &key(number, at));
                log.append(&entry)?;
                added.push(entry);
            }
            if !added.is_empty() {
                appends.push(Command::AppendMembership {
                    by: member,
                    first: 1,
                    entries: added,
                });
            }
        }
        self.commit(appends)?;
        for (number, entry) in numbers.zip(&entries) {
            let devices = (0..devices).map(|at| self.member(entry, &device(&key(number, at))));
            let devices = devices.collect::<Result<_>>()?;
            self.accounts.push(Account {
                devices,
                pushed: 0,
                head: 0,
                acked: 0,
            });
        }
        Ok(())
    }

    fn member(&self, genesis: &SignedEntry, device: &DeviceKey) -> Result<Member> {
        Ok(self
            .store
            .find(&account_id(genesis), device)?
            .context("a member")?
            .member)
    }

    /// Commits, and fails if anything was refused.
    pub fn commit(&self, changes: Vec<Command>) -> Result<Vec<Outcome>> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let outcomes = self.store.commit(&changes, self.now)?.outcomes;
        for outcome in &outcomes {
            match outcome {
                Outcome::Refused(refusal) => bail!("refused: {refusal}"),
                Outcome::Pushed(pushed) => {
                    ensure!(pushed.refusal.is_none(), "refused: {:?}", pushed.refusal)
                }
                _ => {}
            }
        }
        Ok(outcomes)
    }

    /// The next account: uniformly distributed, none twice in a row.
    pub fn next_account(&mut self) -> usize {
        self.turn += 1;
        // Multiplying by an odd number of this size scatters neighbors (Knuth, TAOCP 6.4).
        let scattered = self.turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        usize::try_from(scattered).unwrap_or(0) % self.accounts.len()
    }

    /// One change of this account's creator.
    pub fn push(&mut self, account: usize) -> Command {
        let sealed = self.sealed.clone();
        let account = &mut self.accounts[account];
        account.pushed += 1;
        account.head += 1;
        let envelope = Envelope {
            push_number: account.pushed,
            sealed,
            recipient: Bytes::new(),
        };
        Command::push(account.devices[0], [envelope])
    }

    /// Pushes until the store has this many envelopes, spread over this much time.
    pub fn fill(&mut self, envelopes: u64, time: Duration) -> Result<()> {
        let missing = envelopes.saturating_sub(self.store.totals()?.envelopes);
        let commits = missing.div_ceil(FILL as u64).max(1);
        let step = time / u32::try_from(commits).unwrap_or(u32::MAX);
        let mut left = missing;
        while left > 0 {
            let count = left.min(FILL as u64);
            let changes = (0..count)
                .map(|_| {
                    let account = self.next_account();
                    self.push(account)
                })
                .collect();
            self.commit(changes)?;
            self.now = self.now.plus(step);
            left -= count;
        }
        Ok(())
    }

    /// Fetches one page of the envelopes that a device awaits.
    pub fn look(&self, member: Member, after: u64) -> Result<usize> {
        let look = Fetch {
            member,
            after,
            entries_from: u64::MAX,
            bytes_max: 1 << 20,
            at_least_one: true,
        };
        match self.store.fetch(&look, self.now)? {
            FetchResult::Page(ready) => Ok(ready.envelopes.len()),
            view => bail!("nothing to show: {view:?}"),
        }
    }

    /// Bytes of the stored envelopes.
    pub fn live_bytes(&self) -> Result<u64> {
        Ok(self.store.totals()?.envelopes * self.sealed.len() as u64)
    }

    pub fn file_bytes(&self) -> u64 {
        folder_bytes(&self.folder)
    }

    /// Opens a copy of the files of the open store, as a crash would leave them. Returns the milliseconds
    /// that opening took as well.
    pub fn crashed(&self, spare: &Path) -> Result<(Store, f64)> {
        std::fs::create_dir(spare)?;
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            let copy = spare.join(entry.file_name());
            std::fs::copy(entry.path(), &copy)?;
            // Otherwise the store's first sync would include the copy.
            std::fs::File::open(&copy)?.sync_all()?;
        }
        open_ms(spare)
    }

    /// Closes and reopens the store. Returns the milliseconds that this took as well.
    pub fn reopened(self) -> Result<(Self, f64)> {
        let Self {
            store,
            accounts,
            now,
            sealed,
            folder,
            turn,
        } = self;
        drop(store);
        let (store, clean_ms) = open_ms(&folder)?;
        Ok((
            Self {
                store,
                accounts,
                now,
                sealed,
                folder,
                turn,
            },
            clean_ms,
        ))
    }

    /// Closes, compacts and reopens the store.
    pub fn compacted(self) -> Result<Self> {
        let Self {
            store,
            accounts,
            now,
            sealed,
            folder,
            turn,
        } = self;
        drop(store);
        graceful_store::compact(&folder, options(), &mut |_, _| {})?;
        let store = Store::open(&folder, options())?;
        Ok(Self {
            store,
            accounts,
            now,
            sealed,
            folder,
            turn,
        })
    }
}

/// Repeats work for some time, and measures writes to the disk of this directory. Each iteration returns its
/// count.
pub fn measure<Subject>(
    subject: &mut Subject,
    folder: &Path,
    time: Duration,
    turns_max: usize,
    mut work: impl FnMut(&mut Subject) -> Result<u64>,
) -> Result<Cost> {
    let own = Process::new(std::process::id()).on_disk_of(folder);
    let (started, before) = (Instant::now(), own.used_alone());
    let (mut times, mut done) = (Vec::new(), 0);
    let mut idle = 0;
    while started.elapsed() < time && times.len() < turns_max && idle < IDLE_TURNS_MAX {
        let turn = Instant::now();
        let count = work(subject)?;
        // An iteration without work is not measured.
        if count > 0 {
            times.push(turn.elapsed());
        }
        idle = if count > 0 { 0 } else { idle + 1 };
        done += count;
    }
    let used: Used = own.used_alone().since(&before);
    times.sort_unstable();
    let each = |whole: f64| whole / done.max(1) as f64;
    Ok(Cost {
        p50_us: times
            .get(times.len() / 2)
            .map_or(0.0, |time| time.as_secs_f64() * 1e6),
        cpu_us: each(used.cpu_us as f64),
        written_bytes: each(used.written_bytes as f64),
    })
}

fn open_ms(folder: &Path) -> Result<(Store, f64)> {
    let started = Instant::now();
    let store = Store::open(folder, options())?;
    Ok((store, started.elapsed().as_secs_f64() * 1e3))
}

/// Values by name, as in the raw numbers.
pub type Values = BTreeMap<String, f64>;

/// Adds the cost of one kind of work.
pub fn note(values: &mut Values, name: &str, cost: Cost) {
    values.insert(format!("{name}_p50_us"), cost.p50_us);
    values.insert(format!("{name}_cpu_us"), cost.cpu_us);
    values.insert(format!("{name}_written_bytes"), cost.written_bytes);
}
