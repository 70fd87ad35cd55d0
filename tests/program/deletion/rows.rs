//! Every way of deleting envelopes, through the real server where devices take part.

use std::path::Path;

use bytes::Bytes;
use graceful_protocol::frame::{DeviceFrame, RelayFrame};
use graceful_protocol::membership::Membership;
use graceful_protocol::wire::{self, Envelope};
use graceful_rules::command::{Command, Outcome};
use graceful_store::{self, Engine as _, Store};

use super::raw::{self, HEAD_BYTES, pieces_in, push};
use graceful_testing::device::Device;
use graceful_testing::fixtures;
use graceful_testing::server::{self, TestServer};

/// One of a row, one of two and one of three.
fn envelopes() -> [Bytes; 3] {
    [
        raw::sealed(1, 400),
        raw::sealed(2, 70_000),
        raw::sealed(3, 150_000),
    ]
}

/// What stays, so that what goes leaves holes in the middle of the file and not its end.
const STAYING: u64 = 8;

fn staying() -> Vec<Envelope> {
    (1..=STAYING)
        .map(|number| raw::envelope(number, raw::sealed(number + 100, 60_000)))
        .collect()
}

async fn open() -> TestServer {
    let options = graceful_server::http::Options {
        frame_bytes_max: 1 << 20,
        ..server::options()
    };
    server::open(options).await
}

/// Two devices; the first has pushed, and the second has what it pushed in its hands.
async fn delivered(server: &TestServer) -> (Device, Device) {
    let mut one = Device::create(server, 1).await;
    let log = Membership::from_genesis(&fixtures::genesis(1)).expect("an entry");
    one.append(1, fixtures::adding(&log, 1, 2)).await;
    one.shown(1).await;
    let (mut two, _) = Device::connect(server, 2, 1).await;
    one.push(
        (1..)
            .zip(envelopes())
            .map(|(number, sealed)| raw::envelope(number, sealed))
            .collect(),
    )
    .await;
    one.stored().await;
    let mut came = Vec::new();
    while came.len() < 3 {
        came.extend(raw::sealed_of(&two.delivered().await));
    }
    assert_eq!(came, envelopes());
    let mut other = Device::create(server, 9).await;
    other.push(staying()).await;
    other.stored().await;
    (one, two)
}

/// The sealed payloads of the rows on disk. While an envelope is stored, its row is in the file and
/// its plaintext is not.
fn at_rest(folder: &Path) -> Vec<Vec<u8>> {
    let rows = raw::log_rows(folder);
    assert_eq!(rows.len(), 6 + staying().len());
    for sealed in envelopes() {
        assert_eq!(
            pieces_in(folder, &sealed[5..]),
            0,
            "an envelope lies in the file as it was sent"
        );
    }
    let rows = rows[..6]
        .iter()
        .map(|row| row[HEAD_BYTES.min(row.len() / 2)..].to_vec())
        .collect::<Vec<_>>();
    for row in &rows {
        assert!(
            pieces_in(folder, row) >= row.len() / 24,
            "the search finds what is there"
        );
    }
    rows
}

async fn until_empty(server: &TestServer) {
    let empty = async {
        while server.relay.status().expect("reads").envelopes > STAYING {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(server::LONG, empty)
        .await
        .expect("the envelopes go");
}

/// The devices hang up and the relay stops: the folder it leaves.
async fn left_behind(mut server: TestServer, devices: (Device, Device)) -> tempfile::TempDir {
    drop(devices);
    let folder = std::mem::replace(&mut server.folder, tempfile::tempdir().expect("a folder"));
    server.stop().await;
    folder
}

/// No row remains but these and those of what stays, and after a compaction no piece of one.
fn gone(folder: &Path, rows: &[Vec<u8>], account_row_count: u64) {
    let store = Store::open(folder, raw::options()).expect("opens");
    assert_eq!(store.totals().expect("reads").envelopes, STAYING);
    assert_eq!(
        store.account_row_count().expect("reads"),
        account_row_count + 2 * STAYING
    );
    drop(store);
    assert_eq!(raw::log_rows(folder).len() as u64, STAYING);
    let left = rows.iter().map(|row| pieces_in(folder, row)).sum::<usize>();
    assert!(
        left > 0,
        "before, the journal and pages that are free have it still: else this would show nothing"
    );
    graceful_store::compact(folder, raw::options(), &mut |_, _| {}).expect("compacts");
    for row in rows {
        assert_eq!(
            pieces_in(folder, row),
            0,
            "a deleted row is in the compacted file"
        );
    }
    for sealed in envelopes() {
        assert_eq!(pieces_in(folder, &sealed[5..]), 0);
    }
    let store = Store::open(folder, raw::options()).expect("opens");
    assert_eq!(
        store.account_row_count().expect("reads"),
        account_row_count + 2 * STAYING
    );
}

/// account, its number, two members, two membership entries
const ACCOUNT_ROWS: u64 = 6;
/// account, its number, its member, one membership entry
const OTHER_ROWS: u64 = 4;

#[tokio::test]
async fn no_trace_remains_after_last_ack() {
    let server = open().await;
    let (one, mut two) = delivered(&server).await;
    let rows = at_rest(server.folder.path());
    two.ack(3).await;
    until_empty(&server).await;
    gone(
        left_behind(server, (one, two)).await.path(),
        &rows,
        ACCOUNT_ROWS + OTHER_ROWS,
    );
}

#[tokio::test]
async fn no_trace_remains_after_delete_through() {
    let server = open().await;
    let (mut one, two) = delivered(&server).await;
    let rows = at_rest(server.folder.path());
    one.send(DeviceFrame::DeleteThrough(wire::DeleteThrough {
        through: 3,
    }))
    .await;
    one.wait(|frame| matches!(frame, RelayFrame::Deleted(_)).then_some(()))
        .await;
    gone(
        left_behind(server, (one, two)).await.path(),
        &rows,
        ACCOUNT_ROWS + OTHER_ROWS,
    );
}

#[tokio::test]
async fn no_trace_remains_after_delete_account() {
    let server = open().await;
    let (mut one, two) = delivered(&server).await;
    let rows = at_rest(server.folder.path());
    one.send(DeviceFrame::DeleteAccount(wire::DeleteAccount {
        account: one.account.to_wire(),
    }))
    .await;
    one.wait(|frame| matches!(frame, RelayFrame::Deleted(_)).then_some(()))
        .await;
    gone(
        left_behind(server, (one, two)).await.path(),
        &rows,
        OTHER_ROWS,
    );
}

#[test]
fn no_trace_remains_after_expiry() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path(), raw::options()).expect("opens");
    let (one, _) = raw::pair(&store, raw::day(0));
    for (number, sealed) in (1..).zip(envelopes()) {
        push(&store, one, number, &sealed, raw::day(0));
    }
    for (number, envelope) in (4..).zip(staying()) {
        push(&store, one, number, &envelope.sealed, raw::day(29));
    }
    let rows = at_rest(folder.path());
    let sweep = raw::commit(&store, Command::Sweep, raw::day(30));
    assert_eq!(
        sweep,
        Outcome::Swept {
            envelopes: 3,
            more: false
        }
    );
    drop(store);
    gone(folder.path(), &rows, ACCOUNT_ROWS);
}
