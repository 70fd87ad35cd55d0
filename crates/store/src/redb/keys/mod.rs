//! Day keys: created with a day's first envelope, overwritten when the day is over and its last envelope
//! removed.

mod slots;

use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use graceful_rules::RelayTime;
use redb::StorageBackend;

use slots::SlotContents;
pub(crate) use slots::{CHECKED_BYTES, FillRandom, KeyBytes, SLOTS, Slots, fill_from_os};

use super::codec::decode_header;
use super::files::KEYS;
use super::payload::DayKey;
use super::schema::{Log, arrival_of, log_key};
use crate::StoreError;

/// The day keys of one snapshot, by first arrival. They open every envelope of the snapshot, even if a key
/// is overwritten meanwhile.
#[derive(Clone, Default)]
pub(crate) struct Keyring(Arc<[Arc<DayKey>]>);

impl Keyring {
    pub(crate) fn new(mut keys: Vec<Arc<DayKey>>) -> Self {
        keys.sort_by_key(|key| (key.first_arrival, key.day));
        Self(keys.into())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the key of the envelope with this arrival.
    pub(crate) fn at(&self, arrival: u64) -> Result<&DayKey, StoreError> {
        let after = self.0.partition_point(|key| key.first_arrival <= arrival);
        let key = after.checked_sub(1).map(|at| &*self.0[at]);
        key.ok_or(StoreError::Damaged(
            "the key of an envelope's day is missing",
        ))
    }

    /// Returns whether a key is of a day before that of `now`.
    pub(crate) fn has_past_days(&self, now: RelayTime) -> bool {
        self.0.iter().any(|key| key.day < now.day())
    }

    /// Returns the keys of days before that of `now` under which the log has nothing.
    pub(crate) fn unused(
        &self,
        log: &Log<'_>,
        now: RelayTime,
    ) -> Result<Vec<Arc<DayKey>>, StoreError> {
        let mut unused = Vec::new();
        for (key, end) in self.with_ends().filter(|(key, _)| key.day < now.day()) {
            if last_arrival(log, key.first_arrival, end)?.is_none() {
                unused.push(key.clone());
            }
        }
        Ok(unused)
    }

    /// Checks that every envelope has the key of its day. Days go with arrivals, so the last envelope before
    /// each key, and the last of all, stand for those before them.
    pub(crate) fn check_covers(&self, log: &Log<'_>) -> Result<(), StoreError> {
        let first_key = self.0.first().map_or(u64::MAX, |key| key.first_arrival);
        let mut ranges = vec![(0, first_key, None)];
        ranges.extend(
            self.with_ends()
                .map(|(key, end)| (key.first_arrival, end, Some(key.day))),
        );
        for (first, end, day) in ranges {
            let Some(arrival) = last_arrival(log, first, end)? else {
                continue;
            };
            let row = log.get(&log_key(arrival, 0))?;
            let row = row.ok_or(StoreError::Damaged("an envelope's first row is missing"))?;
            let needed = decode_header(row.value())?.0.arrived.day();
            if day.is_none_or(|day| day < needed) {
                return Err(StoreError::KeyMissing {
                    file: KEYS.into(),
                    day: needed,
                });
            }
        }
        Ok(())
    }

    /// Returns each key with the arrival at which the next key begins.
    fn with_ends(&self) -> impl Iterator<Item = (&Arc<DayKey>, u64)> {
        let ends = self
            .0
            .iter()
            .skip(1)
            .map(|key| key.first_arrival)
            .chain([u64::MAX]);
        self.0.iter().zip(ends)
    }
}

/// The day keys and their slots.
pub(crate) struct DayKeys {
    ring: RwLock<Keyring>,
    slots: Mutex<Slots>,
}

impl DayKeys {
    /// Opens the keys of a store whose next envelope arrives as `next_arrival`. Fails, and changes nothing,
    /// if an envelope in the log has no key.
    pub(crate) fn open(
        backend: impl StorageBackend,
        fill_random: FillRandom,
        log: &Log<'_>,
        now: RelayTime,
        next_arrival: u64,
    ) -> Result<Self, StoreError> {
        let SlotContents {
            mut slots,
            keys,
            torn,
        } = Slots::read(backend, fill_random)?;
        let ring = Keyring::new(keys.into_iter().map(Arc::new).collect());
        ring.check_covers(log)?;
        slots.allocate()?;
        for slot in torn {
            slots.erase(slot)?;
        }
        // Keys of no envelope in this store: left by a commit that was cut off, or by a later store epoch
        // than that of the backup that was restored.
        let (used, unused): (Vec<_>, Vec<_>) = ring
            .0
            .iter()
            .cloned()
            .partition(|key| key.first_arrival < next_arrival && key.day <= now.day());
        for key in unused {
            slots.erase(key.slot)?;
        }
        Ok(Self {
            ring: RwLock::new(Keyring::new(used)),
            slots: Mutex::new(slots),
        })
    }

    /// Returns the present keys.
    pub(crate) fn ring(&self) -> Keyring {
        self.ring.read().expect("lock poisoned").clone()
    }

    /// Returns all keys as their slots have them. The caller holds the journal, so that none is created or
    /// overwritten meanwhile.
    pub(crate) fn bytes(&self) -> Result<Vec<KeyBytes>, StoreError> {
        let (ring, slots) = (self.ring(), self.slots());
        ring.0.iter().map(|key| slots.bytes(key.slot)).collect()
    }

    /// Returns the key for an envelope that arrives now. A new key is durable when this returns: before any
    /// commit that needs it.
    pub(crate) fn for_arrival(
        &self,
        arrival: u64,
        now: RelayTime,
    ) -> Result<Arc<DayKey>, StoreError> {
        let newest = self.ring().0.last().cloned();
        if let Some(key) = newest.filter(|key| key.day >= now.day()) {
            return Ok(key);
        }
        let key = Arc::new(self.slots().create(now.day(), arrival)?);
        let mut ring = self.ring.write().expect("lock poisoned");
        *ring = Keyring::new(ring.0.iter().cloned().chain([key.clone()]).collect());
        Ok(key)
    }

    /// Removes keys from the ring: reads that begin from now on do not have them.
    pub(crate) fn remove(&self, keys: &[Arc<DayKey>]) {
        let mut ring = self.ring.write().expect("lock poisoned");
        let stays = |key: &&Arc<DayKey>| !keys.iter().any(|one| one.slot == key.slot);
        *ring = Keyring::new(ring.0.iter().filter(stays).cloned().collect());
    }

    /// Overwrites the slots of keys that were removed.
    pub(crate) fn erase(&self, keys: &[Arc<DayKey>]) -> Result<(), StoreError> {
        let mut slots = self.slots();
        keys.iter().try_for_each(|key| slots.erase(key.slot))
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().expect("mutex poisoned")
    }
}

/// Returns the newest arrival in a range of the log. `end` is not included.
fn last_arrival(log: &Log<'_>, first: u64, end: u64) -> Result<Option<u64>, StoreError> {
    let last = log.last_in(&log_key(first, 0)..&log_key(end, 0))?;
    Ok(last.map(|(key, _)| arrival_of(key.value())))
}
