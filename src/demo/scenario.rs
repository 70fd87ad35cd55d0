//! The demo's scenario: each scene performs real operations and verifies them.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use data_encoding::HEXLOWER;
use indicatif::HumanCount;
use sha2::{Digest, Sha256};

use super::devices::{DemoDevice, LAPTOP, PHONE, TABLET};
use super::progress::Progress;
use super::receive::{ReceivedCopy, receive, receive_one};
use super::relay::DemoRelay;
use super::relay_view::{self, RelayView};
use super::report::{Receiver, Report};
use super::search::Pieces;
use graceful_client::{Change, Client};
use graceful_store::{Engine as _, Options, Store};

/// Longest scene, also on a slow board.
const SCENE_WAIT: Duration = Duration::from_secs(300);
/// Pushed at the end, while all devices are connected.
const LIVE_CHANGE: &str =
    r#"{"operation":"CREATE","entity_type":"CONTACT","payload":{"name":"Sent live"}}"#;

/// The changes to send.
struct Ledger {
    lines: Vec<Vec<u8>>,
    sha256: String,
    bytes: u64,
}

/// Runs the scenario in a directory.
pub(super) async fn run(
    dir: &Path,
    lines: Vec<Vec<u8>>,
    source: Option<String>,
    progress: &Progress,
) -> anyhow::Result<Report> {
    let ledger = Ledger::new(lines);
    let relay_folder = dir.join("relay");
    let relay_process = DemoRelay::open(&relay_folder).await?;
    progress.done(&format!(
        "Started a relay on {}, by invitation only",
        relay_process.url
    ));

    let laptop = scene("pairing", pair_devices(dir, &relay_process, progress)).await?;
    let (push_seconds, envelopes) = scene("pushing", push(&laptop, &ledger, progress)).await?;
    let (pieces, relay) = scene("searching", search(dir, &ledger, progress)).await?;
    let (phone, tablet, receivers) = scene("receiving", catch_up(dir, &ledger, progress)).await?;
    let copy = std::fs::read(PHONE.profile_dir(dir).join("copy.jsonl"))
        .context("cannot read Phone's copy")?;
    let plaintext_bytes_in_copy = copy
        .split(|byte| *byte == b'\n')
        .map(|line| pieces.bytes_in(line))
        .sum();
    let live_milliseconds = scene("a live change", push_live(&phone, &laptop, &tablet)).await?;
    relay_process.is_empty().await?;
    progress.done("All devices have everything, and the relay has deleted it");

    let status = laptop.status();
    let device_keys = status
        .devices
        .iter()
        .map(|device| device.key.to_string())
        .collect();
    for client in [laptop, phone, tablet] {
        client.close().await?;
    }
    relay_process.close().await?;
    let envelopes_left = stored_on_disk(&relay_folder)?;
    let report = Report {
        source,
        changes: ledger.lines.len() as u64,
        bytes: ledger.bytes,
        sha256: ledger.sha256.clone(),
        account: status.account.to_string(),
        device_keys,
        push_seconds,
        relay,
        receivers,
        plaintext_bytes_in_copy,
        live_milliseconds,
        samples: samples(&ledger.lines),
        envelopes_left,
    };
    verify(&report, &ledger, envelopes)?;
    Ok(report)
}

impl Ledger {
    fn new(lines: Vec<Vec<u8>>) -> Self {
        let mut hash = Sha256::new();
        for line in &lines {
            hash.update(line);
            hash.update(b"\n");
        }
        let bytes = lines.iter().map(|line| line.len() as u64 + 1).sum();
        Self {
            sha256: HEXLOWER.encode(&hash.finalize()),
            bytes,
            lines,
        }
    }
}

/// Fails a scene that takes too long.
async fn scene<T>(what: &str, scene: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let played = tokio::time::timeout(SCENE_WAIT, scene).await;
    played.with_context(|| format!("{what} took longer than {} seconds", SCENE_WAIT.as_secs()))?
}

/// Pairs three devices, then closes two of them.
async fn pair_devices(
    dir: &Path,
    relay_process: &DemoRelay,
    progress: &Progress,
) -> anyhow::Result<Client> {
    let laptop = LAPTOP
        .create(dir, &relay_process.url, relay_process.invite().await?)
        .await?;
    progress.done("Laptop created an account with an invitation");
    let phone = PHONE.join(dir, &laptop).await?;
    let tablet = TABLET.join(dir, &laptop).await?;
    // Envelopes sent during pairing are not counted later.
    for client in [&laptop, &phone, &tablet] {
        client.up_to_date().await?;
    }
    relay_process.is_empty().await?;
    phone.close().await?;
    tablet.close().await?;
    progress.done("Phone and Tablet joined by pairing links and went offline");
    Ok(laptop)
}

/// Returns the seconds until the relay has stored the ledger, and the number of envelopes.
async fn push(laptop: &Client, ledger: &Ledger, progress: &Progress) -> anyhow::Result<(f64, u64)> {
    let count = ledger.lines.len() as u64;
    let changes = ledger
        .lines
        .iter()
        .enumerate()
        .map(|(number, line)| Change::new(format!("ledger-{number}"), line.clone()));
    let changes: Vec<_> = changes.collect();
    let bar = progress.bar("Laptop seals and pushes", count);
    let started = Instant::now();
    let receipt = laptop
        .push(changes)
        .await
        .context("Laptop could not push the ledger")?;
    laptop
        .stored(|waiting| bar.set_position(count.saturating_sub(waiting)))
        .await?;
    let seconds = started.elapsed().as_secs_f64();
    bar.finish_and_clear();
    let counted = HumanCount(count);
    progress.done(&format!(
        "Laptop pushed {counted} changes; the relay stores them for the others"
    ));
    Ok((seconds, receipt.last + 1 - receipt.first))
}

async fn search(
    dir: &Path,
    ledger: &Ledger,
    progress: &Progress,
) -> anyhow::Result<(Pieces, RelayView)> {
    let (relay, scratch) = (dir.join("relay"), dir.join("stolen"));
    let lines = ledger.lines.clone();
    let looked = tokio::task::spawn_blocking(move || {
        let pieces = Pieces::new(lines.iter().map(Vec::as_slice));
        let view = relay_view::read(&relay, &scratch, &pieces, &[LAPTOP, PHONE, TABLET])?;
        anyhow::Ok((pieces, view))
    });
    let (pieces, view) = looked.await.context("search task panicked")??;
    progress.done("Searched a copy of the relay's file for every piece of the ledger's text");
    Ok((pieces, view))
}

/// Opens both devices and receives on them in parallel.
async fn catch_up(
    dir: &Path,
    ledger: &Ledger,
    progress: &Progress,
) -> anyhow::Result<(Client, Client, Vec<Receiver>)> {
    let count = ledger.lines.len() as u64;
    let run = async |device: DemoDevice, label| {
        let client = device.open(dir).await?;
        let bar = progress.bar(label, count);
        let file = device.profile_dir(dir).join("copy.jsonl");
        let copy = receive(&client, &file, |changes| bar.set_position(changes)).await;
        bar.finish_and_clear();
        anyhow::Ok((
            client,
            copy.with_context(|| format!("{} did not receive the ledger", device.name))?,
        ))
    };
    let (phone, tablet) = tokio::try_join!(
        run(PHONE, "Phone receives and opens"),
        run(TABLET, "Tablet receives and opens")
    )?;
    progress.done("Phone and Tablet came back online and received every change once, in order");
    let receiver = |device: DemoDevice, copy: ReceivedCopy| Receiver {
        name: device.name,
        copy,
    };
    let receivers = vec![receiver(PHONE, phone.1), receiver(TABLET, tablet.1)];
    Ok((phone.0, tablet.0, receivers))
}

/// Returns the milliseconds from a push until both other devices have the change.
async fn push_live(from: &Client, to: &Client, and: &Client) -> anyhow::Result<f64> {
    let started = Instant::now();
    from.push([Change::new("live", LIVE_CHANGE)]).await?;
    let (first, second) = tokio::try_join!(receive_one(to), receive_one(and))?;
    let milliseconds = started.elapsed().as_secs_f64() * 1_000.0;
    for received in [first, second] {
        ensure!(
            *received.content == *LIVE_CHANGE.as_bytes(),
            "the live change was altered"
        );
    }
    Ok(milliseconds)
}

/// Read from disk after the relay has stopped.
fn stored_on_disk(dir: &Path) -> anyhow::Result<u64> {
    Ok(Store::open(dir, Options::default())?.totals()?.envelopes)
}

/// Picks one change of each kind, or the first three.
fn samples(lines: &[Vec<u8>]) -> Vec<String> {
    let texts = || lines.iter().map(|line| String::from_utf8_lossy(line));
    let kinds = [
        "\"CONTACT\"",
        "\"TRANSACTION\"",
        "\"TRANSACTION_LINE_ITEM\"",
    ];
    let of_kinds = kinds
        .iter()
        .filter_map(|kind| texts().find(|text| text.contains(kind)));
    let samples: Vec<String> = of_kinds.map(|text| text.into_owned()).collect();
    if samples.len() == kinds.len() {
        samples
    } else {
        texts().take(3).map(|text| text.into_owned()).collect()
    }
}

/// Verifies the demo's claims.
fn verify(report: &Report, ledger: &Ledger, envelopes: u64) -> anyhow::Result<()> {
    let Report {
        changes,
        relay,
        receivers,
        ..
    } = report;
    ensure!(
        relay.envelopes == envelopes,
        "the relay stored {} of {envelopes} envelopes for {changes} changes",
        relay.envelopes
    );
    ensure!(
        relay.plaintext_bytes == 0,
        "{} bytes of the ledger's text were found in the relay's file",
        relay.plaintext_bytes
    );
    ensure!(
        relay.names.is_empty(),
        "found in the relay's file: {}",
        relay.names.join(", ")
    );
    for Receiver { name, copy } in receivers {
        ensure!(
            copy.changes == *changes,
            "{name} received {} of {changes} changes",
            copy.changes
        );
        ensure!(
            copy.sha256 == ledger.sha256,
            "{name}'s copy differs from what was sent"
        );
    }
    let long = ledger
        .lines
        .iter()
        .filter(|line| line.len() >= super::search::PIECE_BYTES);
    let searched: u64 = long.map(|line| line.len() as u64).sum();
    ensure!(
        report.plaintext_bytes_in_copy == searched,
        "the search is broken: it found {} of {searched} bytes in a plaintext copy",
        report.plaintext_bytes_in_copy
    );
    ensure!(
        report.envelopes_left == 0,
        "the relay still stores {} envelopes",
        report.envelopes_left
    );
    Ok(())
}
