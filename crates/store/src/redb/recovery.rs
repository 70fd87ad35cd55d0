//! Recovery: what a store has when it is opened, in redb and above it in the journal.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, RwLock};

use graceful_protocol::{RelayId, StoreEpoch};
use graceful_rules::RelayTime;
use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, StorageBackend, TableError};

use super::data_dir;
use super::disk_space::DiskSpace;
use super::errors::database_error;
use super::files::{JOURNALS, KEYS};
use super::journal::{File, Journal};
use super::keys::{DayKeys, FillRandom, Keyring, fill_from_os};
use super::memtable::Memtables;
use super::options::Options;
use super::schema::{EachTable, LOG, META, SCHEMA_VERSION, each, meta, totals_bytes};
use super::snapshot::Snapshot;
use super::store::Store;
use super::table::Spec;
use crate::{Identity, StoreError, Totals};

/// Opens a database file, and creates it if it is empty.
pub(crate) fn open_database(file: &Path, options: &Options) -> Result<Database, StoreError> {
    options
        .database_builder()
        .create(file)
        .map_err(|error| database_error(error, file))
}

/// Opens the other files of a data directory whose database is open.
pub(crate) fn open_files(
    database: Database,
    data_dir: &Path,
    options: Options,
    disk_space: DiskSpace,
) -> Result<Store, StoreError> {
    let [one, other] =
        JOURNALS.map(|name| open_or_create(data_dir, name).map(|file| Box::new(file) as File));
    let journals = [one?, other?];
    let open = || {
        let recovery = Recovery::read(database, journals, Identity::generate())?;
        // A missing key file is created only if no envelope needs a key from it.
        if !data_dir.join(KEYS).exists() {
            recovery.check_no_key_needed()?;
        }
        let keys = open_or_create(data_dir, KEYS)?;
        recovery.into_store(keys, options, Box::new(fill_from_os), Some(disk_space))
    };
    open().map_err(|error: StoreError| error.in_data_dir(data_dir))
}

fn open_or_create(data_dir: &Path, name: &str) -> Result<FileBackend, StoreError> {
    let file = data_dir.join(name);
    if !file.exists() {
        data_dir::create_private(&file)?;
        data_dir::sync(data_dir)?;
    }
    Ok(FileBackend::new(data_dir::open_file(&file)?)?)
}

/// A store without its day keys.
pub(crate) struct Recovery {
    database: Database,
    journal: Journal,
    memtables: RwLock<Memtables>,
    identity: Identity,
}

impl Recovery {
    /// Reads the database and the journal. `fresh` is the identity if the database is new.
    pub(crate) fn read(
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

    /// Fails if the log has envelopes, which need keys.
    fn check_no_key_needed(&self) -> Result<(), StoreError> {
        Keyring::default().check_covers(&self.snapshot()?.table(LOG))
    }

    pub(crate) fn into_store(
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

/// Reads the identity from the database, and the last journal record that was flushed.
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

/// Creates all tables and writes the identity, in the database's first transaction.
fn write_identity(database: &Database, identity: Identity) -> Result<(), StoreError> {
    let mut transaction = database.begin_write()?;
    // From the first commit on, so that the file always opens without a long repair.
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    each(&mut CreateTables { to: &transaction })?;
    {
        let mut table = transaction.open_table(META.definition)?;
        table.insert(meta::SCHEMA, SCHEMA_VERSION.to_be_bytes().as_slice())?;
        table.insert(meta::WRITER, env!("CARGO_PKG_VERSION").as_bytes())?;
        table.insert(meta::RELAY_ID, identity.relay_id.as_bytes().as_slice())?;
        table.insert(meta::EPOCH, identity.epoch.as_bytes().as_slice())?;
        table.insert(meta::TOTALS, totals_bytes(&Totals::default()).as_slice())?;
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
