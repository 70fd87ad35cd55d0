//! Opening a store: the folder, the file, whose it is, and which layout it has.

use std::path::{Path, PathBuf};

use redb::{
    Builder, Database, DatabaseError, ReadOnlyDatabase, ReadableDatabase, StorageBackend, TableError,
};

use crate::protocol::{Limits, RelayId, StoreEpoch};
use crate::rules::RelayTime;
use crate::rules::membership::Registration;

use super::StoreError;
use super::room::{BALLAST, Room};
use super::tables::{META, SCHEMA_VERSION, Tables, meta};

/// The store's file in the data folder.
pub const FILE: &str = "relay.redb";

/// What else may lie in the data folder: `client` is the profile of a device of the same user.
const NEIGHBOURS: [&str; 5] = ["admin.sock", "lost+found", "config.toml", "client", BALLAST];

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
        prepare_folder(folder)?;
        let room = Room::new(folder, options.free_bytes_min, options.ballast_bytes);
        // Before the file is opened: that may have to write.
        room.drop_ballast_if_full();
        let file = folder.join(FILE);
        let existed = file.exists();
        // What is not ours, or not for this version, is not touched. Only a store that was not closed
        // has to be opened, and so repaired, before it can be looked into.
        let looked_into = existed && look_into(&file)?;
        if !existed {
            create_private(&file)?;
        }
        let database = builder(&options).create(&file).map_err(|error| explain(error, &file))?;
        if existed && !looked_into {
            check_schema(&database, &file)?;
        }
        let store = Self::start(database, options, Identity::fresh(), Some(room))?;
        store.lay_ballast();
        Ok(store)
    }

    /// Opens a store on any backend. `fresh` is who it will be if it is new.
    ///
    /// # Errors
    /// [`StoreError`] where the backend or what is on it does not serve.
    pub fn open_on(
        backend: impl StorageBackend,
        options: Options,
        fresh: Identity,
    ) -> Result<Self, StoreError> {
        let database = builder(&options).create_with_backend(backend)?;
        Self::start(database, options, fresh, None)
    }

    fn start(
        database: Database,
        options: Options,
        fresh: Identity,
        room: Option<Room>,
    ) -> Result<Self, StoreError> {
        let (identity, clock) = match read_identity(&database)? {
            Some(known) => known,
            None => {
                write_identity(&database, fresh)?;
                (fresh, RelayTime::default())
            }
        };
        Ok(Self { database, options, room, identity, clock })
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

fn builder(options: &Options) -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(options.cache_bytes);
    builder
}

/// Only a folder of the relay's own is taken: one that is empty or has the store in it.
fn prepare_folder(folder: &Path) -> Result<(), StoreError> {
    let cannot = |source| StoreError::Folder { folder: folder.to_owned(), source };
    make_private(folder).map_err(cannot)?;
    if folder.join(FILE).exists() {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder).map_err(cannot)? {
        let found = entry.map_err(cannot)?.file_name().to_string_lossy().into_owned();
        if !NEIGHBOURS.contains(&found.as_str()) {
            return Err(StoreError::Foreign { folder: folder.to_owned(), found });
        }
    }
    Ok(())
}

/// Made so that only its owner sees into it.
fn make_private(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// An empty file that only its owner can read, whatever the folder allows.
fn create_private(file: &Path) -> Result<(), StoreError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file).map_err(|source| StoreError::Folder { folder: file.to_owned(), source })?;
    Ok(())
}

fn explain(error: DatabaseError, file: &Path) -> StoreError {
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
fn look_into(file: &Path) -> Result<bool, StoreError> {
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

fn read_identity(database: &Database) -> Result<Option<(Identity, RelayTime)>, StoreError> {
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
    let clock = value(meta::CLOCK)?.try_into().map(u64::from_be_bytes).map_err(|_| DAMAGED)?;
    Ok(Some((identity, RelayTime::from_ms(clock))))
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
