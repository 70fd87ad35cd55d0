//! The relay's view, read from a copy of its files, as a thief of the disk would see them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use data_encoding::HEXLOWER;
use serde::Serialize;

use super::devices::DemoDevice;
use super::search::{Pieces, contains_word};
use graceful_store::{FILE, JOURNALS, KEYS, Options, Store, VisibleMetadata};

/// Bytes of an envelope shown in the report.
const SHOWN_BYTES: usize = 64;
/// Number of intervals in the arrival histogram.
const TIME_STEPS: usize = 20;

/// Everything visible to the relay.
#[derive(Debug, Clone, Serialize)]
pub(super) struct RelayView {
    /// Number of stored envelopes.
    pub(super) envelopes: u64,
    /// Bytes of all envelopes.
    pub(super) envelope_bytes: u64,
    /// Number of envelopes of each size.
    pub(super) sizes: BTreeMap<usize, u64>,
    /// First and last arrival by the relay's clock, in milliseconds since 1970.
    pub(super) arrived_ms: (u64, u64),
    /// Arrivals in equal intervals between the two.
    pub(super) arrivals: Vec<u64>,
    /// The first bytes of one envelope, in hex.
    pub(super) beginning: String,
    /// Bytes of the relay's store and journal.
    pub(super) file_bytes: u64,
    /// Bytes of the ledger's plaintext found in them.
    pub(super) plaintext_bytes: u64,
    /// Device names and ids found in them.
    pub(super) names: Vec<String>,
}

/// Reads a copy of the relay's directory, because its files are in use.
pub(super) fn read(
    dir: &Path,
    scratch: &Path,
    pieces: &Pieces,
    devices: &[DemoDevice],
) -> anyhow::Result<RelayView> {
    std::fs::create_dir(scratch).context("cannot create a directory for the copy")?;
    let mut bytes = Vec::new();
    for name in [FILE, JOURNALS[0], JOURNALS[1], KEYS] {
        std::fs::copy(dir.join(name), scratch.join(name))
            .context("cannot copy the relay's files")?;
        if name != KEYS {
            bytes.extend(
                std::fs::read(scratch.join(name))
                    .context("cannot read the copy of the relay's files")?,
            );
        }
    }
    let seen = Store::open(scratch, Options::default())?.visible_metadata()?;
    ensure!(
        !seen.is_empty(),
        "the copy of the relay's files contains no envelope"
    );
    let words = devices
        .iter()
        .flat_map(|device| [device.name, device.device_id]);
    let names = words
        .filter(|word| contains_word(&bytes, word))
        .map(str::to_owned)
        .collect();
    let first_ms = seen.iter().map(|seen| seen.arrived.ms()).min().unwrap_or(0);
    let last_ms = seen.iter().map(|seen| seen.arrived.ms()).max().unwrap_or(0);
    let middle = &seen[seen.len() / 2].sealed;
    Ok(RelayView {
        envelopes: seen.len() as u64,
        envelope_bytes: seen.iter().map(|seen| seen.sealed.len() as u64).sum(),
        sizes: sizes(&seen),
        arrived_ms: (first_ms, last_ms),
        arrivals: arrivals(&seen, first_ms, last_ms),
        beginning: HEXLOWER.encode(&middle[..SHOWN_BYTES.min(middle.len())]),
        file_bytes: bytes.len() as u64,
        plaintext_bytes: pieces.bytes_in(&bytes),
        names,
    })
}

fn sizes(seen: &[VisibleMetadata]) -> BTreeMap<usize, u64> {
    let mut sizes = BTreeMap::new();
    for seen in seen {
        *sizes.entry(seen.sealed.len()).or_default() += 1;
    }
    sizes
}

fn arrivals(seen: &[VisibleMetadata], first_ms: u64, last_ms: u64) -> Vec<u64> {
    let span_ms = (last_ms - first_ms).max(1);
    let mut progress = vec![0; TIME_STEPS];
    for seen in seen {
        let step = (seen.arrived.ms() - first_ms) * (TIME_STEPS as u64 - 1) / span_ms;
        progress[usize::try_from(step).unwrap_or(0)] += 1;
    }
    progress
}
