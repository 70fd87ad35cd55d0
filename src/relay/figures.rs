//! Figures that have to be looked up: what is kept, the disk, the process. Looked up at most once in a few
//! seconds, however often they are asked for.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::rules::RelayTime;
use crate::store::{FILE, Store, StoreError};

use super::process::Process;
use super::{Relay, Stopped};

/// How long figures are good.
const GOOD_FOR: Duration = Duration::from_secs(2);

/// A picture of one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Figures {
    /// Accounts that exist.
    pub accounts: u64,
    /// Envelopes kept.
    pub envelopes: u64,
    /// For how long the oldest envelope has been kept, in seconds; 0 where there is none.
    pub oldest_envelope_s: u64,
    /// Bytes of the store's file.
    pub store_bytes: u64,
    /// Bytes that this user may still fill on the disk; `None` where the system does not say.
    pub disk_free_bytes: Option<u64>,
    /// Nothing new is kept with fewer free.
    pub disk_free_bytes_min: u64,
    /// The process; `None` where the system does not say.
    pub process: Option<Process>,
}

impl Figures {
    /// Whether less is free than has to be.
    pub fn disk_is_short(&self) -> bool {
        self.disk_free_bytes.is_some_and(|free_bytes| free_bytes < self.disk_free_bytes_min)
    }
}

impl Relay {
    /// What it keeps and takes, as of a moment ago.
    ///
    /// # Errors
    /// [`Stopped`] where the store failed.
    pub async fn figures(&self) -> Result<Figures, Stopped> {
        // One looks, others wait for what it sees.
        let mut figures = self.inner.figures.lock().await;
        if let Some((seen, figures)) = &*figures
            && seen.elapsed() < GOOD_FOR
        {
            return Ok(*figures);
        }
        let (store, folder) = (self.inner.store.clone(), self.inner.folder.clone());
        let now = self.inner.clock.now();
        let looked = tokio::task::spawn_blocking(move || look(&store, folder.as_deref(), now)).await;
        let seen = self.inner.writer.read(looked)?;
        *figures = Some((Instant::now(), seen));
        Ok(seen)
    }
}

fn look(store: &Store, folder: Option<&Path>, now: RelayTime) -> Result<Figures, StoreError> {
    let totals = store.totals()?;
    Ok(Figures {
        accounts: totals.accounts,
        envelopes: totals.envelopes,
        oldest_envelope_s: oldest_s(store, now)?,
        store_bytes: folder.and_then(|folder| folder.join(FILE).metadata().ok()).map_or(0, |file| file.len()),
        disk_free_bytes: folder.and_then(free_bytes),
        disk_free_bytes_min: store.options().free_bytes_min,
        process: Process::of_this(),
    })
}

/// How long ago the oldest envelope came: the store says of any moment whether it has expired by then.
fn oldest_s(store: &Store, now: RelayTime) -> Result<u64, StoreError> {
    let retention_s = u64::from(store.options().limits.retention_s);
    let expired_in = |seconds| store.has_expired(now.plus(Duration::from_secs(seconds)));
    if !expired_in(retention_s + 1)? {
        return Ok(0);
    }
    let (mut from_s, mut to_s) = (0, retention_s + 1);
    while from_s < to_s {
        let middle_s = (from_s + to_s) / 2;
        match expired_in(middle_s)? {
            true => to_s = middle_s,
            false => from_s = middle_s + 1,
        }
    }
    Ok(retention_s.saturating_sub(from_s))
}

#[cfg(unix)]
fn free_bytes(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_folder: &Path) -> Option<u64> {
    None
}
