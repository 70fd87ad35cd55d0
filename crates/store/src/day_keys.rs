//! The keys of days: made when a day's first envelope comes, overwritten when the day is over and its
//! last envelope gone.

use std::sync::{Arc, Mutex, RwLock};

use redb::StorageBackend;

use graceful_rules::RelayTime;

use super::at_rest::DayKey;
use super::export::KeyBytes;
use super::key_slots::{FillRandom, SlotContents, Slots};
use super::row::LogHead;
use super::tables::{LOG, Log, arrival_of, log_key};
use super::{Store, StoreError};

/// The keys there are in one snapshot, by first arrival. Whoever holds it can open what a transaction
/// begun with it shows, even if a key is overwritten meanwhile.
#[derive(Clone, Default)]
pub(super) struct Keyring(Arc<[Arc<DayKey>]>);

impl Keyring {
    pub(super) fn new(mut keys: Vec<Arc<DayKey>>) -> Self {
        keys.sort_by_key(|key| (key.first_arrival, key.day));
        Self(keys.into())
    }

    /// The key of the envelope that arrived as this one.
    pub(super) fn at(&self, arrival: u64) -> Result<&DayKey, StoreError> {
        let after = self.0.partition_point(|key| key.first_arrival <= arrival);
        let key = after.checked_sub(1).map(|at| &*self.0[at]);
        key.ok_or(StoreError::Damaged(
            "the key of an envelope's day is missing",
        ))
    }

    /// Each key with the first arrival that is not its own any more.
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

/// The keys and where they are live.
pub(super) struct DayKeys {
    ring: RwLock<Keyring>,
    slots: Mutex<Slots>,
}

impl DayKeys {
    /// The keys of a store whose next envelope arrives as `next_arrival`. Refuses, and changes
    /// nothing, where the store has envelopes that none of them opens.
    pub(super) fn open(
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
        check_keys_cover_log(log, &ring)?;
        slots.allocate()?;
        for slot in torn {
            slots.erase(slot)?;
        }
        // What no envelope of this store was sealed under: left by a commit that was cut off, or by a
        // later history than the one a backup brought back.
        let (live, unused): (Vec<_>, Vec<_>) = ring
            .0
            .iter()
            .cloned()
            .partition(|key| key.first_arrival < next_arrival && key.day <= now.day());
        for key in unused {
            slots.erase(key.slot)?;
        }
        Ok(Self {
            ring: RwLock::new(Keyring::new(live)),
            slots: Mutex::new(slots),
        })
    }

    pub(super) fn ring(&self) -> Keyring {
        self.ring.read().expect("nobody panics holding it").clone()
    }

    /// All of them as they stand in their slots. Whoever asks holds the journal, so that none is made or
    /// overwritten meanwhile.
    pub(super) fn bytes(&self) -> Result<Vec<KeyBytes>, StoreError> {
        let (ring, slots) = (self.ring(), self.slots());
        ring.0.iter().map(|key| slots.bytes(key.slot)).collect()
    }

    /// The key for an envelope that arrives now. If it is new, it is on the disk when this returns:
    /// before any commit that needs it.
    pub(super) fn for_arrival(
        &self,
        arrival: u64,
        now: RelayTime,
    ) -> Result<Arc<DayKey>, StoreError> {
        let newest = self.ring().0.last().cloned();
        if let Some(key) = newest.filter(|key| key.day >= now.day()) {
            return Ok(key);
        }
        let key = Arc::new(self.slots().create(now.day(), arrival)?);
        let mut ring = self.ring.write().expect("nobody panics holding it");
        *ring = Keyring::new(ring.0.iter().cloned().chain([key.clone()]).collect());
        Ok(key)
    }

    /// Takes keys off the ring; from now on nobody who begins to read has them.
    fn remove(&self, gone: &[Arc<DayKey>]) {
        let mut ring = self.ring.write().expect("nobody panics holding it");
        let stays = |key: &&Arc<DayKey>| !gone.iter().any(|one| one.slot == key.slot);
        *ring = Keyring::new(ring.0.iter().filter(stays).cloned().collect());
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, Slots> {
        self.slots.lock().expect("nobody panics holding it")
    }
}

impl Store {
    /// How many keys there are.
    pub fn day_key_count(&self) -> usize {
        self.keys.ring().0.len()
    }

    /// Overwrites the keys of days that are over and of whose envelopes none is left. Returns how many.
    /// Not a commit: the disk has had the last of their envelopes taken away before.
    ///
    /// # Errors
    /// [`StoreError`]: a key may still be there, and the process has to end; the next start tries again.
    pub fn retire_day_keys(&self, now: RelayTime) -> Result<usize, StoreError> {
        let ring = self.keys.ring();
        let over = |key: &DayKey| key.day < now.day();
        if !ring.0.iter().any(|key| over(key)) {
            return Ok(0);
        }
        if unused(&self.snapshot()?.table(LOG), &ring, over)?.is_empty() {
            return Ok(0);
        }
        // No commit is under way while this is held, so that none can bring an envelope in under a
        // key that is about to go. What the store shows now is on the disk.
        let journal = self.journal();
        let gone = {
            let snapshot = self.snapshot()?;
            unused(&snapshot.table(LOG), &snapshot.keys, over)?
        };
        self.keys.remove(&gone);
        drop(journal);
        for key in &gone {
            self.keys.slots().erase(key.slot)?;
        }
        Ok(gone.len())
    }
}

/// The keys under which the log has nothing.
fn unused(
    log: &Log<'_>,
    ring: &Keyring,
    over: impl Fn(&DayKey) -> bool,
) -> Result<Vec<Arc<DayKey>>, StoreError> {
    let mut unused = Vec::new();
    for (key, end) in ring.with_ends().filter(|(key, _)| over(key)) {
        if last_arrival(log, key.first_arrival, end)?.is_none() {
            unused.push(key.clone());
        }
    }
    Ok(unused)
}

/// The newest envelope that is live among these arrivals, the last of which is not counted.
fn last_arrival(log: &Log<'_>, first: u64, end: u64) -> Result<Option<u64>, StoreError> {
    let last = log.last_in(&log_key(first, 0)..&log_key(end, 0))?;
    Ok(last.map(|(key, _)| arrival_of(key.value())))
}

/// Every envelope has the key of its day. Days go with arrivals, so the last one before each key, and
/// the last of all, speak for those before them.
pub(super) fn check_keys_cover_log(log: &Log<'_>, ring: &Keyring) -> Result<(), StoreError> {
    let first_key = ring.0.first().map_or(u64::MAX, |key| key.first_arrival);
    let mut stretches = vec![(0, first_key, None)];
    stretches.extend(
        ring.with_ends()
            .map(|(key, end)| (key.first_arrival, end, Some(key.day))),
    );
    for (first, end, day) in stretches {
        let Some(arrival) = last_arrival(log, first, end)? else {
            continue;
        };
        let row = log.get(&log_key(arrival, 0))?;
        let row = row.ok_or(StoreError::Damaged("an envelope's first row is missing"))?;
        let needed = LogHead::decode(row.value())?.0.arrived.day();
        if day.is_none_or(|day| day < needed) {
            return Err(StoreError::KeyMissing {
                file: super::open::KEYS.into(),
                day: needed,
            });
        }
    }
    Ok(())
}
