//! Opening a store: the data_dir, the file, whose it is, and which layout it has.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, RwLock};

use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, ReadOnlyDatabase, ReadableDatabase, StorageBackend,
    TableError,
};

use graceful_protocol::{Limits, RelayId, StoreEpoch};
use graceful_rules::RelayTime;
use graceful_rules::membership::Registration;

use super::day_keys::DayKeys;
use super::disk_space::DiskSpace;
use super::journal::{File, Journal};
use super::snapshot::Memtables;
use super::start::Recovery;
use super::tables::{META, SCHEMA_VERSION, meta};
use super::upgrade::{STEPS, UPGRADING, upgrade};
use super::{StoreError, data_dir};

/// The store's file in the data data_dir.
pub const FILE: &str = "relay.redb";

/// The keys of its envelopes, beside it.
pub const KEYS: &str = "day-keys";

/// The journal's two files, beside them.
pub const JOURNALS: [&str; 2] = ["journal-0", "journal-1"];

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
    /// Bytes after which the journal turns to its other file and what it has is flushed_through into redb. About as
    /// much of it, twice at most, is in memory as well.
    pub journal_bytes: u64,
    /// Bytes of a commit of few and large rows from which on it goes into redb at once, and not through
    /// the journal: what it would save there in syncs is less than writing so much twice costs.
    pub direct_write_min_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            registration: Registration::default(),
            cache_bytes: 64 * 1024 * 1024,
            free_bytes_min: 0,
            ballast_bytes: 0,
            journal_bytes: 16 * 1024 * 1024,
            direct_write_min_bytes: 512 * 1024,
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
    pub fn generate() -> Self {
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
    /// `None`: not in a data_dir.
    pub(super) disk_space: Option<DiskSpace>,
    /// Whoever changes anything holds it.
    pub(super) journal: Mutex<Journal>,
    pub(super) memtables: RwLock<Memtables>,
    /// Held by who folds.
    pub(super) flushing: Mutex<()>,
    /// Nobody knows what is on the disk.
    pub(super) poisoned: AtomicBool,
    pub(super) identity: Identity,
    pub(super) clock: RelayTime,
}

/// Where a store's files are, if not in a data_dir.
pub struct Files<B> {
    /// redb's.
    pub store: B,
    /// Those of days' keys.
    pub keys: B,
    /// The journal's.
    pub journals: [B; 2],
}

impl Store {
    /// Opens the store in a data_dir, which is made if it is not there.
    ///
    /// # Errors
    /// [`StoreError`] says what is in the way.
    pub fn open(data_dir: &Path, options: Options) -> Result<Self, StoreError> {
        data_dir::prepare(data_dir)?;
        let disk_space = DiskSpace::new(data_dir, options.free_bytes_min, options.ballast_bytes);
        // Before the file is opened: that may have to write.
        disk_space.release_ballast_if_full();
        let file = data_dir.join(FILE);
        // What is not ours, or not for this version, is not touched. Only a store that was not closed
        // has to be opened, and so repaired, before it can be looked into.
        let (mut found, mut database) = (Layout::Empty, None);
        if file.exists() {
            found = read_layout(&file)?;
        } else {
            data_dir::create_private(&file)?;
            data_dir::sync(data_dir)?;
        }
        if found == Layout::Unclean {
            let opened = open_database(&file, &options)?;
            found = layout_of(&opened, &file)?;
            database = Some(opened);
        }
        if let Layout::Version(layout) = found
            && layout < SCHEMA_VERSION
        {
            drop(database.take());
            upgrade(data_dir, &options, layout, STEPS)?;
        }
        let database = database.map_or_else(|| open_database(&file, &options), Ok)?;
        // Nobody else has the store: what lies there was left by one that was cut off.
        data_dir::remove(&data_dir.join(COMPACTING))?;
        data_dir::remove(&data_dir.join(UPGRADING))?;
        let store = open_files(database, data_dir, options, disk_space)?;
        store.allocate_ballast();
        Ok(store)
    }

    /// Opens a store on any backends. `fresh` is who it will be if it is new; `fill_random` fills with what nobody can guess, and is where its keys come from.
    ///
    /// # Errors
    /// [`StoreError`] where the backend or what is on it does not serve.
    pub fn open_on(
        files: Files<impl StorageBackend>,
        options: Options,
        fresh: Identity,
        fill_random: impl FnMut(&mut [u8]) + Send + 'static,
    ) -> Result<Self, StoreError> {
        let database = builder(&options).create_with_backend(files.store)?;
        let journals = files.journals.map(|file| Box::new(file) as File);
        let recovery = Recovery::read(database, journals, fresh)?;
        recovery.into_store(files.keys, options, Box::new(fill_random), None)
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

pub(super) fn open_database(file: &Path, options: &Options) -> Result<Database, StoreError> {
    builder(options)
        .create(file)
        .map_err(|error| database_error(error, file))
}

/// The store whose redb file is open, with the others of its data_dir.
pub(super) fn open_files(
    database: Database,
    data_dir: &Path,
    options: Options,
    disk_space: DiskSpace,
) -> Result<Store, StoreError> {
    let journals =
        JOURNALS.map(|name| open_or_make(data_dir, name).map(|file| Box::new(file) as File));
    let [one, other] = journals;
    let journals = [one?, other?];
    let begun = || {
        let recovery = Recovery::read(database, journals, Identity::generate())?;
        let keys = open_keys(&recovery, data_dir)?;
        recovery.into_store(keys, options, Box::new(fill_from_os), Some(disk_space))
    };
    begun().map_err(|error: StoreError| error.in_data_dir(data_dir))
}

/// # Panics
/// If the system has no randomness to give, which nothing can do without.
pub(super) fn fill_from_os(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system gives randomness");
}

/// The key file. It is made only where there is no envelope that it should have a key for.
fn open_keys(recovery: &Recovery, data_dir: &Path) -> Result<FileBackend, StoreError> {
    if !data_dir.join(KEYS).exists() {
        recovery.check_no_key_needed()?;
    }
    open_or_make(data_dir, KEYS)
}

/// A file of the data_dir, empty if it was not there.
fn open_or_make(data_dir: &Path, name: &str) -> Result<FileBackend, StoreError> {
    let file = data_dir.join(name);
    if !file.exists() {
        data_dir::create_private(&file)?;
        data_dir::sync(data_dir)?;
    }
    Ok(FileBackend::new(data_dir::open_file(&file)?)?)
}

pub(super) fn builder(options: &Options) -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(options.cache_bytes);
    builder
}

pub(super) fn database_error(error: DatabaseError, file: &Path) -> StoreError {
    let file = PathBuf::from(file);
    match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { file },
        DatabaseError::UpgradeRequired(version) => StoreError::NotAStore {
            file,
            reason: format!("redb file format {version}"),
        },
        DatabaseError::Storage(redb::StorageError::Io(source))
            if source.kind() != std::io::ErrorKind::InvalidData =>
        {
            StoreError::DataDir {
                data_dir: file,
                source,
            }
        }
        DatabaseError::Storage(redb::StorageError::Io(_) | redb::StorageError::Corrupted(_)) => {
            StoreError::NotAStore {
                file,
                reason: "it is not a redb file, or it is damaged".into(),
            }
        }
        other => other.into(),
    }
}

/// What a look into a file says of its layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// It has no tables.
    Empty,
    /// This one, at most [`SCHEMA_VERSION`].
    Version(u32),
    /// It was not closed, and cannot be looked into without writing.
    Unclean,
}

/// Looks for the layout without writing.
pub(super) fn read_layout(file: &Path) -> Result<Layout, StoreError> {
    match ReadOnlyDatabase::open(file) {
        Ok(database) => layout_of(&database, file),
        Err(DatabaseError::RepairAborted) => Ok(Layout::Unclean),
        // An empty file is what a crash in the very first snapshot leaves.
        Err(_) if std::fs::metadata(file).is_ok_and(|file| file.len() == 0) => Ok(Layout::Unclean),
        Err(error) => Err(database_error(error, file)),
    }
}

fn layout_of(database: &impl ReadableDatabase, file: &Path) -> Result<Layout, StoreError> {
    let transaction = database.begin_read()?;
    let not_ours = |reason: &str| StoreError::NotAStore {
        file: file.to_owned(),
        reason: reason.into(),
    };
    let table = match transaction.open_table(META.definition) {
        Ok(table) => table,
        // A crash before the first commit leaves a file without tables.
        Err(TableError::TableDoesNotExist(_)) => {
            return match transaction.list_tables()?.next() {
                None => Ok(Layout::Empty),
                Some(_) => Err(not_ours("its tables are not those of a relay")),
            };
        }
        Err(TableError::Storage(error)) => return Err(error.into()),
        Err(_) => return Err(not_ours("its tables are not those of a relay")),
    };
    let Some(schema) = table.get(meta::SCHEMA)? else {
        return Err(not_ours("it names no layout"));
    };
    let found = schema.value().try_into().map(u32::from_be_bytes);
    match found.map_err(|_| StoreError::Damaged("its layout cannot be read"))? {
        0 => Err(not_ours("it has a layout that no version wrote")),
        found if found > SCHEMA_VERSION => {
            let writer = table.get(meta::WRITER)?;
            let writer = writer.and_then(|text| String::from_utf8(text.value().to_vec()).ok());
            let by = writer.map_or_else(
                || "a newer version".to_owned(),
                |version| format!("version {version}"),
            );
            Err(StoreError::Newer {
                file: file.to_owned(),
                by,
                found,
                known: SCHEMA_VERSION,
            })
        }
        found => Ok(Layout::Version(found)),
    }
}
