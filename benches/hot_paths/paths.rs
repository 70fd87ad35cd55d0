//! The steps of a change on relay and device, set up for repetition.

use std::hint::black_box;
use std::path::Path;

use anyhow::{Result, bail};
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use graceful_client::EpochSecret;
use graceful_engine::seal::{self, Binding, EpochKeys};
use graceful_engine::sealed::Header;
use graceful_protocol::frame::{self, DeviceFrame, RelayFrame};
use graceful_protocol::wire::{Deliver, Envelope, Push};
use graceful_protocol::{AccountId, DeviceKey, Limits};
use graceful_rules::command::{Fetch, FetchResult};
use graceful_rules::push::{self, IncomingEnvelope};
use graceful_rules::{Account, AccountNumber, Device, DeviceIndex};
use graceful_store::Engine as _;

use crate::harness::Harness;

/// Bytes of a change.
const CONTENT_BYTES: usize = 1_024;

/// Envelopes in one frame, and accounts that push in one commit.
const TOGETHER: usize = 64;

/// Envelopes stored before the first delivery.
const STORED: u64 = 6_400;

/// Runs one iteration.
type Turn = Box<dyn FnMut()>;

/// One path and its state.
pub struct HotPath {
    /// Name on the command line.
    pub name: &'static str,
    /// Changes of one KiB per iteration.
    pub changes: u64,
    /// Counted iterations: enough that the first ones do not matter.
    pub turns: u64,
    make: fn(&Path) -> Result<Turn>,
}

impl HotPath {
    /// Sets up the path; its store is in this directory.
    pub fn ready(&self, folder: &Path) -> Result<Turn> {
        (self.make)(folder)
    }
}

const fn path(name: &'static str, changes: u64, make: fn(&Path) -> Result<Turn>) -> HotPath {
    HotPath {
        name,
        changes,
        turns: 1_024 / changes,
        make,
    }
}

/// All paths, in the order in which a change takes them.
pub const PATHS: [HotPath; 6] = [
    path("seal", 1, seal),
    path("decode", TOGETHER as u64, decode),
    path("decide", TOGETHER as u64, decide),
    path("commit", TOGETHER as u64, commit),
    path("deliver", TOGETHER as u64, deliver),
    path("open", 1, open),
];

fn device() -> DeviceKey {
    DeviceKey::new(SigningKey::from_bytes(&[7; 32]).verifying_key().to_bytes())
}

fn binding() -> Binding {
    Binding {
        account: AccountId::new([3; 32]),
        key_epoch: 1,
        sender: device(),
        recipient: None,
    }
}

fn keys() -> EpochKeys {
    EpochKeys::derive(&EpochSecret::new([9; 32]), &binding().account)
}

fn header() -> Header {
    Header {
        device_id: "laptop-1".into(),
        transaction_id: "entry-1".into(),
        ..Header::default()
    }
}

fn sealed() -> Result<Bytes> {
    let keys = keys();
    Ok(seal::seal(
        &keys,
        &binding(),
        &header(),
        &[b'x'; CONTENT_BYTES],
        &[5; 32],
    )?)
}

fn envelopes() -> Result<Vec<Envelope>> {
    let sealed = sealed()?;
    let envelope = |push_number| Envelope {
        push_number,
        sealed: sealed.clone(),
        recipient: Bytes::new(),
    };
    Ok((1..=TOGETHER as u64).map(envelope).collect())
}

/// A device seals a change.
fn seal(_: &Path) -> Result<Turn> {
    let keys = keys();
    let (binding, header) = (binding(), header());
    Ok(Box::new(move || {
        let content = black_box([b'x'; CONTENT_BYTES]);
        black_box(
            seal::seal(&keys, &binding, &header, &content, &[5; 32]).expect("it can be sealed"),
        );
    }))
}

/// The relay decodes a frame.
fn decode(_: &Path) -> Result<Turn> {
    let bytes = frame::device_bytes(DeviceFrame::Push(Push {
        envelopes: envelopes()?,
    }));
    Ok(Box::new(move || {
        black_box(frame::from_device(black_box(bytes.clone())).expect("a frame"));
    }))
}

/// The relay hashes and decides the pushes of one account.
fn decide(_: &Path) -> Result<Turn> {
    let limits = Limits::default();
    let mut account = Account::new(AccountNumber(1), AccountId::new([3; 32]));
    account.devices.push(Device {
        device_index: DeviceIndex(0),
        key: device(),
        cursor: 0,
        push_number: 0,
        gap: None,
    });
    let envelopes = envelopes()?;
    Ok(Box::new(move || {
        let mut account = black_box(account.clone());
        for envelope in &envelopes {
            let incoming = IncomingEnvelope::from(envelope.clone());
            black_box(
                push::push(&mut account, DeviceIndex(0), &incoming, &limits).expect("it is kept"),
            );
        }
    }))
}

/// The relay stores the pushes of many accounts in one commit, encrypts them at rest, and flushes when due.
/// Work of the kernel, such as syncing, is not counted.
fn commit(folder: &Path) -> Result<Turn> {
    let mut harness = Harness::new(folder, 1_000, 2, CONTENT_BYTES)?;
    Ok(Box::new(move || {
        let account = |harness: &mut Harness| {
            let account = harness.next_account();
            harness.push(account)
        };
        let changes = (0..TOGETHER).map(|_| account(&mut harness)).collect();
        harness.commit(changes).expect("all are kept");
        if harness.store.needs_flush() {
            harness.store.flush().expect("it folds");
        }
    }))
}

/// The relay reads the pending envelopes of a device, decrypts them, and encodes the frame.
fn deliver(folder: &Path) -> Result<Turn> {
    let mut harness = Harness::new(folder, 1, 2, CONTENT_BYTES)?;
    for _ in 0..STORED / TOGETHER as u64 {
        let changes = (0..TOGETHER).map(|_| harness.push(0)).collect();
        harness.commit(changes)?;
    }
    harness.store.flush_all()?;
    let member = harness.accounts[0].devices[1];
    let bytes_max = TOGETHER as u64 * harness.sealed.len() as u64;
    let mut after = 0;
    let look = move |after| Fetch {
        member,
        after,
        entries_from: u64::MAX,
        bytes_max,
        at_least_one: true,
    };
    match harness.store.fetch(&look(0), harness.now)? {
        FetchResult::Page(ready) if ready.envelopes.len() == TOGETHER => {}
        other => bail!("{TOGETHER} envelopes should wait: {other:?}"),
    }
    Ok(Box::new(move || {
        let FetchResult::Page(ready) = harness
            .store
            .fetch(&look(after), harness.now)
            .expect("it can be read")
        else {
            panic!("a member sees what waits for it");
        };
        after = if ready.through >= STORED {
            0
        } else {
            ready.through
        };
        let (envelopes, through, head) = (ready.envelopes, ready.through, ready.head);
        black_box(frame::relay_bytes(RelayFrame::Deliver(Deliver {
            envelopes,
            through,
            head,
        })));
    }))
}

/// A device opens a change.
fn open(_: &Path) -> Result<Turn> {
    let keys = keys();
    let (binding, sealed) = (binding(), sealed()?);
    Ok(Box::new(move || {
        black_box(seal::open(&keys, &binding, black_box(&sealed)).expect("it opens"));
    }))
}
