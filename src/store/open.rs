//! Opening a store: the folder, the file, whose it is, and which layout it has.

use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, ReadOnlyDatabase, ReadableDatabase, StorageBackend, TableError,
};

use crate::protocol::{Limits, RelayId, StoreEpoch};
use crate::rules::RelayTime;
use crate::rules::membership::Registration;

use super::day_keys::{self, DayKeys, Keyring};
use super::key_slots::Chance;
use super::room::Room;
use super::tables::{META, SCHEMA_VERSION, Tables, meta};
use super::{StoreError, folder};

/// The store's file in the data folder.
pub const FILE: &str = "relay.redb";

/// The keys of its envelopes, beside it.
pub const KEYS: &str = "day-keys";

/// What a compaction writes before it takes the store's place.
pub(super) const COMPACTING: &str = "relay.redb.compacting";

/// What the rules inside the store go by, and how much memory it may take.
#[derive(Debug, Clone)]
pub struct Options {
    /// Limits of accounts and envelopes.
    pub limits: Limits,
    /// Who may found accounts.
    pub registration: Registration,
    /// Pages kept in memory, in bytes.
    pub cache_bytes: usize,
    /// While the disk has less than this free, in bytes, nothing new is kept.
    pub free_bytes_min: u64,
    /// Bytes put by for the day on which the disk is full. 0: none.
    pub ballast_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            registration: Registration::default(),
            cache_bytes: 64 * 1024 * 1024,
            free_bytes_min: 0,
            ballast_bytes: 0,
        }
    }
}

/// Which relay, and which history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Made with the store.
    pub relay_id: RelayId,
    /// New after a restore.
    pub epoch: StoreEpoch,
}

impl Identity {
    /// A new one.
    ///
    /// # Panics
    /// If the system has no randomness to give, which nothing can do without.
    pub fn fresh() -> Self {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the system gives randomness");
        let (relay_id, epoch) = bytes.split_at(16);
        Self {
            relay_id: RelayId::try_from(relay_id).expect("16 bytes"),
            epoch: StoreEpoch::try_from(epoch).expect("16 bytes"),
        }
    }
}

/// An open store.
pub struct Store {
    pub(super) database: Database,
    pub(super) options: Options,
    pub(super) keys: DayKeys,
    /// `None`: not in a folder.
    pub(super) room: Option<Room>,
    identity: Identity,
    clock: RelayTime,
}

impl Store {
    /// Opens the store in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// [`StoreError`] says what is in the way.
    pub fn open(folder: &Path, options: Options) -> Result<Self, StoreError> {
        folder::prepare(folder)?;
        let room = Room::new(folder, options.free_bytes_min, options.ballast_bytes);
        // Before the file is opened: that may have to write.
        room.drop_ballast_if_full();
        let file = folder.join(FILE);
        let existed = file.exists();
        // What is not ours, or not for this version, is not touched. Only a store that was not closed
        // has to be opened, and so repaired, before it can be looked into.
        let looked_into = existed && look_into(&file)?;
        if !existed {
            folder::create_private(&file)?;
            folder::sync(folder)?;
        }
        let database = builder(&options).create(&file).map_err(|error| explain(error, &file))?;
        if existed && !looked_into {
            check_schema(&database, &file)?;
        }
        // Nobody else has the store: what lies there was left by a compaction that was cut off.
        folder::remove(&folder.join(COMPACTING))?;
        let keys = open_keys(&database, folder).map_err(|error| error.in_folder(folder))?;
        let chance = Box::new(system_chance);
        let store = Self::start(database, keys, options, Identity::fresh(), chance, Some(room))
            .map_err(|error| error.in_folder(folder))?;
        store.lay_ballast();
        Ok(store)
    }

    /// Opens a store on any backend, with its keys on another. `fresh` is who it will be if it is new;
    /// `chance` fills with what nobody can guess, and is where its keys come from.
    ///
    /// # Errors
    /// [`StoreError`] where the backend or what is on it does not serve.
    pub fn open_on(
        backend: impl StorageBackend,
        keys: impl StorageBackend,
        options: Options,
        fresh: Identity,
        chance: impl FnMut(&mut [u8]) + Send + 'static,
    ) -> Result<Self, StoreError> {
        let database = builder(&options).create_with_backend(backend)?;
        Self::start(database, keys, options, fresh, Box::new(chance), None)
    }

    fn start(
        database: Database,
        keys: impl StorageBackend,
        options: Options,
        fresh: Identity,
        chance: Chance,
        room: Option<Room>,
    ) -> Result<Self, StoreError> {
        if read_known(&database)?.is_none() {
            write_identity(&database, fresh)?;
        }
        let Known { identity, clock, next_arrival } =
            read_known(&database)?.ok_or(StoreError::Damaged("what was just written cannot be read"))?;
        let keys = DayKeys::open(keys, chance, &database, clock, next_arrival)?;
        let store = Self { database, options, keys, room, identity, clock };
        store.retire_day_keys(clock)?;
        Ok(store)
    }

    /// Which relay, and which history.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The relay's own time when the store was last written before it was opened.
    pub fn clock_at_open(&self) -> RelayTime {
        self.clock
    }

    /// The limits and registration its rules go by.
    pub fn options(&self) -> &Options {
        &self.options
    }
}

/// # Panics
/// If the system has no randomness to give, which nothing can do without.
fn system_chance(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system gives randomness");
}

/// The key file. It is made only where there is no envelope that it should have a key for.
fn open_keys(database: &Database, folder: &Path) -> Result<FileBackend, StoreError> {
    let file = folder.join(KEYS);
    if !file.exists() {
        day_keys::check_cover(database, &Keyring::default())?;
        folder::create_private(&file)?;
        folder::sync(folder)?;
    }
    Ok(FileBackend::new(folder::open_file(&file)?)?)
}

pub(super) fn builder(options: &Options) -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(options.cache_bytes);
    builder
}

pub(super) fn explain(error: DatabaseError, file: &Path) -> StoreError {
    let file = PathBuf::from(file);
    match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { file },
        DatabaseError::UpgradeRequired(version) => {
            StoreError::NotAStore { file, reason: format!("redb file format {version}") }
        }
        DatabaseError::Storage(redb::StorageError::Io(source))
            if source.kind() != std::io::ErrorKind::InvalidData =>
        {
            StoreError::Folder { folder: file, source }
        }
        DatabaseError::Storage(redb::StorageError::Io(_) | redb::StorageError::Corrupted(_)) => {
            StoreError::NotAStore { file, reason: "it is not a redb file, or it is damaged".into() }
        }
        other => other.into(),
    }
}

/// Checks the schema without writing. Returns `false` where that cannot be done.
pub(super) fn look_into(file: &Path) -> Result<bool, StoreError> {
    match ReadOnlyDatabase::open(file) {
        Ok(database) => check_schema(&database, file).map(|()| true),
        Err(DatabaseError::RepairAborted) => Ok(false),
        // An empty file is what a crash in the very first moment leaves.
        Err(_) if std::fs::metadata(file).is_ok_and(|file| file.len() == 0) => Ok(false),
        Err(error) => Err(explain(error, file)),
    }
}

fn check_schema(database: &impl ReadableDatabase, file: &Path) -> Result<(), StoreError> {
    let transaction = database.begin_read()?;
    let not_ours = |reason: &str| StoreError::NotAStore { file: file.to_owned(), reason: reason.into() };
    let table = match transaction.open_table(META) {
        Ok(table) => table,
        // A crash before the first commit leaves a file without tables.
        Err(TableError::TableDoesNotExist(_)) => {
            return match transaction.list_tables()?.next() {
                None => Ok(()),
                Some(_) => Err(not_ours("its tables are not those of a relay")),
            };
        }
        Err(TableError::Storage(error)) => return Err(error.into()),
        Err(_) => return Err(not_ours("its tables are not those of a relay")),
    };
    let Some(schema) = table.get(meta::SCHEMA)? else {
        return Err(not_ours("it names no schema version"));
    };
    let found = schema
        .value()
        .try_into()
        .map(u32::from_be_bytes)
        .map_err(|_| StoreError::Damaged("the schema version cannot be read"))?;
    if found > SCHEMA_VERSION {
        return Err(StoreError::Newer { file: file.to_owned(), found, known: SCHEMA_VERSION });
    }
    Ok(())
}

/// What a store knows of itself.
struct Known {
    identity: Identity,
    clock: RelayTime,
    next_arrival: u64,
}

fn read_known(database: &Database) -> Result<Option<Known>, StoreError> {
    const DAMAGED: StoreError = StoreError::Damaged("its identity cannot be read");
    let transaction = database.begin_read()?;
    let table = match transaction.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        table => table?,
    };
    let value = |name| Ok::<_, StoreError>(table.get(name)?.ok_or(DAMAGED)?.value().to_vec());
    let identity = Identity {
        relay_id: RelayId::try_from(value(meta::RELAY_ID)?.as_slice()).map_err(|_| DAMAGED)?,
        epoch: StoreEpoch::try_from(value(meta::EPOCH)?.as_slice()).map_err(|_| DAMAGED)?,
    };
    let number = |name| value(name)?.try_into().map(u64::from_be_bytes).map_err(|_| DAMAGED);
    let (clock, next_arrival) = (RelayTime::from_ms(number(meta::CLOCK)?), number(meta::NEXT_ARRIVAL)?);
    Ok(Some(Known { identity, clock, next_arrival }))
}

/// All tables and who this is, in the store's first transaction.
fn write_identity(database: &Database, identity: Identity) -> Result<(), StoreError> {
    let transaction = database.begin_write()?;
    {
        let mut tables = Tables::open(&transaction)?;
        tables.meta.insert(meta::SCHEMA, SCHEMA_VERSION.to_be_bytes().as_slice())?;
        tables.meta.insert(meta::RELAY_ID, identity.relay_id.as_bytes().as_slice())?;
        tables.meta.insert(meta::EPOCH, identity.epoch.as_bytes().as_slice())?;
        tables.meta.insert(meta::CLOCK, 0_u64.to_be_bytes().as_slice())?;
        tables.meta.insert(meta::NEXT_ARRIVAL, 1_u64.to_be_bytes().as_slice())?;
        tables.meta.insert(meta::NEXT_ACCOUNT, 1_u64.to_be_bytes().as_slice())?;
    }
    transaction.commit()?;
    Ok(())
}
