//! What a store has when it is opened: what is in redb, and above it what only the journal has yet.

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, RwLock};

use redb::{Database, ReadableDatabase, StorageBackend, TableError};

use graceful_protocol::{RelayId, StoreEpoch};
use graceful_rules::RelayTime;

use super::day_keys::{self, DayKeys, Keyring};
use super::disk_space::DiskSpace;
use super::journal::{File, Journal};
use super::key_slots::FillRandom;
use super::open::{Identity, Options};
use super::read::Totals;
use super::snapshot::{Memtables, Snapshot};
use super::table::Spec;
use super::tables::{EachTable, LOG, META, SCHEMA_VERSION, each, meta};
use super::{Store, StoreError};

/// A store whose keys are not there yet.
pub(super) struct Recovery {
    database: Database,
    journal: Journal,
    memtables: RwLock<Memtables>,
    identity: Identity,
}

impl Recovery {
    /// `fresh` is who it will be if it is new.
    pub(super) fn read(
        database: Database,
        journals: [File; 2],
        fresh: Identity,
    ) -> Result<Self, StoreError> {
        const DAMAGED: StoreError = StoreError::Damaged("what was just written cannot be read");
        if read_identity(&database)?.is_none() {
            write_identity(&database, fresh)?;
        }
        let (identity, flushed_through) = read_identity(&database)?.ok_or(DAMAGED)?;
        let (journal, memtables) = Journal::open(journals, identity, flushed_through)?;
        Ok(Self {
            database,
            journal,
            memtables: RwLock::new(memtables),
            identity,
        })
    }

    fn snapshot(&self) -> Result<Snapshot<'_>, StoreError> {
        Snapshot::new(&self.memtables, &self.database, Keyring::default)
    }

    /// Whether there are envelopes, for which there must be keys.
    pub(super) fn check_no_key_needed(&self) -> Result<(), StoreError> {
        day_keys::check_keys_cover_log(&self.snapshot()?.table(LOG), &Keyring::default())
    }

    pub(super) fn into_store(
        self,
        keys: impl StorageBackend,
        options: Options,
        fill_random: FillRandom,
        disk_space: Option<DiskSpace>,
    ) -> Result<Store, StoreError> {
        let (keys, clock) = {
            let snapshot = self.snapshot()?;
            let clock = RelayTime::from_ms(snapshot.meta_number(meta::CLOCK)?);
            let next_arrival = snapshot.meta_number(meta::NEXT_ARRIVAL)?;
            (
                DayKeys::open(keys, fill_random, &snapshot.table(LOG), clock, next_arrival)?,
                clock,
            )
        };
        let store = Store {
            database: self.database,
            options,
            keys,
            disk_space,
            journal: Mutex::new(self.journal),
            memtables: self.memtables,
            flushing: Mutex::default(),
            poisoned: AtomicBool::new(false),
            identity: self.identity,
            clock,
        };
        store.retire_day_keys(clock)?;
        Ok(store)
    }
}

/// Member redb's file is, and the last record of the journal that is in it.
fn read_identity(database: &Database) -> Result<Option<(Identity, u64)>, StoreError> {
    const DAMAGED: StoreError = StoreError::Damaged("its identity cannot be read");
    let transaction = database.begin_read()?;
    let table = match transaction.open_table(META.definition) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        table => table?,
    };
    let value = |name| Ok::<_, StoreError>(table.get(name)?.ok_or(DAMAGED)?.value().to_vec());
    let identity = Identity {
        relay_id: RelayId::try_from(value(meta::RELAY_ID)?.as_slice()).map_err(|_| DAMAGED)?,
        epoch: StoreEpoch::try_from(value(meta::EPOCH)?.as_slice()).map_err(|_| DAMAGED)?,
    };
    let flushed_through = value(meta::FLUSHED_THROUGH)?
        .try_into()
        .map(u64::from_be_bytes)
        .map_err(|_| DAMAGED)?;
    Ok(Some((identity, flushed_through)))
}

/// All tables and who this is, in the store's first transaction.
fn write_identity(database: &Database, identity: Identity) -> Result<(), StoreError> {
    let mut transaction = database.begin_write()?;
    // From the first one on, so that whatever happens the file opens at once.
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    each(&mut CreateTables { to: &transaction })?;
    {
        let mut table = transaction.open_table(META.definition)?;
        table.insert(meta::SCHEMA, SCHEMA_VERSION.to_be_bytes().as_slice())?;
        table.insert(meta::WRITER, env!("CARGO_PKG_VERSION").as_bytes())?;
        table.insert(meta::RELAY_ID, identity.relay_id.as_bytes().as_slice())?;
        table.insert(meta::EPOCH, identity.epoch.as_bytes().as_slice())?;
        table.insert(meta::TOTALS, Totals::default().to_bytes().as_slice())?;
        for (name, number) in [
            (meta::UPGRADED, 0_u64),
            (meta::CLOCK, 0),
            (meta::FLUSHED_THROUGH, 0),
            (meta::NEXT_ARRIVAL, 1),
            (meta::NEXT_ACCOUNT, 1),
        ] {
            table.insert(name, number.to_be_bytes().as_slice())?;
        }
    }
    transaction.commit()?;
    Ok(())
}

/// Makes tables.
struct CreateTables<'a> {
    to: &'a redb::WriteTransaction,
}

impl EachTable for CreateTables<'_> {
    fn table<K: redb::Key + 'static, V: redb::Value + 'static>(
        &mut self,
        spec: Spec<K, V>,
    ) -> Result<(), StoreError> {
        self.to.open_table(spec.definition)?;
        Ok(())
    }
}
