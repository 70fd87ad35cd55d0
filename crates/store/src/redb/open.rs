//! Opening a store.

use std::path::Path;

use redb::StorageBackend;

use super::data_dir;
use super::disk_space::DiskSpace;
use super::files::{COMPACTING, FILE, UPGRADING};
use super::journal::File;
use super::layout::{Layout, layout_of, read_layout};
use super::options::Options;
use super::recovery::{Recovery, open_database, open_files};
use super::schema::SCHEMA_VERSION;
use super::store::Store;
use super::upgrade::{STEPS, upgrade};
use crate::{Identity, StoreError};

/// The files of a store that is not in a data directory.
pub struct Files<B> {
    /// The database.
    pub store: B,
    /// The day keys.
    pub keys: B,
    /// The journal.
    pub journals: [B; 2],
}

impl Store {
    /// Opens the store in a data directory, which is created if it does not exist.
    ///
    /// # Errors
    /// [`StoreError`] names the obstacle.
    pub fn open(data_dir: &Path, options: Options) -> Result<Self, StoreError> {
        data_dir::prepare(data_dir)?;
        let disk_space = DiskSpace::new(data_dir, options.free_bytes_min, options.ballast_bytes);
        // Before the file is opened, which may have to write.
        disk_space.release_ballast_if_full();
        let file = data_dir.join(FILE);
        // A foreign or newer file is not written to. Only a file that was not closed has to be opened, and
        // so repaired, before its layout can be read.
        let (mut layout, mut database) = (Layout::Empty, None);
        if file.exists() {
            layout = read_layout(&file)?;
        } else {
            data_dir::create_private(&file)?;
            data_dir::sync(data_dir)?;
        }
        if layout == Layout::Unclean {
            let opened = open_database(&file, &options)?;
            layout = layout_of(&opened, &file)?;
            database = Some(opened);
        }
        if let Layout::Version(version) = layout
            && version < SCHEMA_VERSION
        {
            drop(database.take());
            upgrade(data_dir, &options, version, STEPS)?;
        }
        let database = database.map_or_else(|| open_database(&file, &options), Ok)?;
        // The database is locked: these were left by a process that was cut off.
        data_dir::remove(&data_dir.join(COMPACTING))?;
        data_dir::remove(&data_dir.join(UPGRADING))?;
        let store = open_files(database, data_dir, options, disk_space)?;
        store.allocate_ballast();
        Ok(store)
    }

    /// Opens a store on any backends. `fresh` is its identity if it is new; `fill_random` is the source of
    /// its day keys.
    ///
    /// # Errors
    /// [`StoreError`] if a backend fails or its content cannot be used.
    pub fn open_on(
        files: Files<impl StorageBackend>,
        options: Options,
        fresh: Identity,
        fill_random: impl FnMut(&mut [u8]) + Send + 'static,
    ) -> Result<Self, StoreError> {
        let database = options
            .database_builder()
            .create_with_backend(files.store)?;
        let journals = files.journals.map(|file| Box::new(file) as File);
        let recovery = Recovery::read(database, journals, fresh)?;
        recovery.into_store(files.keys, options, Box::new(fill_random), None)
    }
}
