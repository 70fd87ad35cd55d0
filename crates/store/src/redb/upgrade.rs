//! Upgrades from an earlier schema version. A copy is changed, step by step, and every envelope in it read
//! before it replaces the database. The database as it was stays beside it for a day.
//!
//! A step starts with an empty journal. Tables keep their numbers (`schema.rs`), and a table that a later
//! version drops stays in the list while there is a step from a version that has it.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

use graceful_rules::RelayTime;
use redb::backends::InMemoryBackend;
use redb::{StorageBackend, WriteTransaction};

use super::data_dir;
use super::disk_space::DiskSpace;
use super::files::{BEFORE_UPGRADE, FILE, KEYS, UPGRADING};
use super::journal;
use super::keys::fill_from_os;
use super::options::Options;
use super::recovery::{Recovery, open_database, open_files};
use super::schema::{META, SCHEMA_VERSION, meta};
use crate::{Engine, Identity, StoreError, Totals};

/// Bytes that must be free beside a second file like the first, for what the steps write.
const SPARE_BYTES: u64 = 16 * 1024 * 1024;

const BUFFER_BYTES: usize = 1024 * 1024;

/// A step from one schema version to the next.
pub(crate) type Step = fn(&WriteTransaction) -> Result<(), StoreError>;

/// The first upgrades version 1 to version 2, and so on.
pub(crate) const STEPS: &[Step] = &[record_writer];

const _: () = assert!(
    STEPS.len() == SCHEMA_VERSION as usize - 1,
    "each version but the first has its step"
);

/// Version 2: the file names the program that wrote its schema version, as every upgrade does.
fn record_writer(_: &WriteTransaction) -> Result<(), StoreError> {
    Ok(())
}

/// Upgrades the store in a data directory. Cut off at any time, it leaves the store as it was, or upgraded.
pub(crate) fn upgrade(
    data_dir: &Path,
    options: &Options,
    from: u32,
    steps: &[Step],
) -> Result<(), StoreError> {
    let to = u32::try_from(steps.len()).expect("a handful") + 1;
    let (file, copy) = (data_dir.join(FILE), data_dir.join(UPGRADING));
    let bytes = fs::metadata(&file)
        .map_err(|error| data_dir::cannot(&file, error))?
        .len();
    tracing::info!(
        from,
        to,
        bytes,
        "the store has an earlier schema version; upgrading a copy of it"
    );
    data_dir::remove(&copy)?;
    let disk_space = DiskSpace::new(data_dir, options.free_bytes_min, 0);
    let needed = bytes + SPARE_BYTES;
    if let Some(free) = disk_space.free_bytes().filter(|free| *free < needed) {
        return Err(StoreError::NoRoomToUpgrade {
            data_dir: data_dir.to_owned(),
            needed,
            free,
        });
    }
    // Flushes the journal.
    let old = open_files(
        open_database(&file, options)?,
        data_dir,
        options.clone(),
        disk_space,
    )?;
    old.close()?;
    let (now, before) = (old.clock_at_open(), old.totals()?);
    drop(old);
    // Locked until the end, so that no other relay opens the file that is about to be replaced. Closed first:
    // Windows does not let a file be read that is open for writing.
    let held = data_dir::lock_exclusive(&file)?;
    let made = copy_file(&file, &copy).map_err(|error| data_dir::cannot(&copy, error));
    let stepped = made.and_then(|()| run_steps(&copy, options, from, steps, now));
    let whole = stepped.and_then(|()| verify_copy(data_dir, &copy, options, before));
    whole.inspect_err(|_| drop(fs::remove_file(&copy)))?;
    swap(data_dir, (&file, held), &copy)?;
    tracing::info!(
        from,
        to,
        "upgraded; {BEFORE_UPGRADE} has the store as it was for a day"
    );
    Ok(())
}

fn run_steps(
    copy: &Path,
    options: &Options,
    from: u32,
    steps: &[Step],
    now: RelayTime,
) -> Result<(), StoreError> {
    let database = open_database(copy, options)?;
    for (layout, step) in (from + 1..).zip(&steps[from as usize - 1..]) {
        let mut transaction = database.begin_write()?;
        transaction.set_two_phase_commit(true);
        transaction.set_quick_repair(true);
        step(&transaction)?;
        {
            let mut table = transaction.open_table(META.definition)?;
            table.insert(meta::SCHEMA, layout.to_be_bytes().as_slice())?;
            table.insert(meta::WRITER, env!("CARGO_PKG_VERSION").as_bytes())?;
            table.insert(meta::UPGRADED, now.ms().to_be_bytes().as_slice())?;
        }
        transaction.commit()?;
    }
    Ok(())
}

/// Opens the copy as a store and reads every envelope: it must have as many envelopes and accounts as before.
/// Journal and keys are copies in memory: the files are not touched.
fn verify_copy(
    data_dir: &Path,
    copy: &Path,
    options: &Options,
    before: Totals,
) -> Result<(), StoreError> {
    let (keys, path) = (InMemoryBackend::new(), data_dir.join(KEYS));
    let bytes = graceful_fs_util::read_optional(&path)
        .map_err(|error| data_dir::cannot(&path, error))?
        .unwrap_or_default();
    let written = keys
        .set_len(bytes.len() as u64)
        .and_then(|()| keys.write(0, &bytes));
    written.expect("memory accepts all");
    let journals: [journal::File; 2] = [
        Box::new(InMemoryBackend::new()),
        Box::new(InMemoryBackend::new()),
    ];
    let recovery = Recovery::read(
        open_database(copy, options)?,
        journals,
        Identity::generate(),
    )?;
    let store = recovery.into_store(keys, options.clone(), Box::new(fill_from_os), None)?;
    let counts = store.audit_all(&mut |_| {})?;
    let same = (counts.accounts, counts.envelopes) == (before.accounts, before.envelopes);
    if !same || counts.unreadable + counts.misplaced + counts.miscounted > 0 {
        return Err(StoreError::UpgradeDiffers {
            data_dir: data_dir.to_owned(),
        });
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut from = BufReader::with_capacity(BUFFER_BYTES, File::open(from)?);
    let mut to = BufWriter::with_capacity(BUFFER_BYTES, graceful_fs_util::create_private(to)?);
    io::copy(&mut from, &mut to)?;
    to.flush()?;
    to.get_ref().sync_all()
}

/// Links the old file to its second name, then renames the copy to the first.
fn swap(
    data_dir: &Path,
    (file, held): (&Path, Box<dyn Send>),
    copy: &Path,
) -> Result<(), StoreError> {
    let backup = data_dir.join(BEFORE_UPGRADE);
    data_dir::remove(&backup)?;
    // Not every file system has hard links.
    if fs::hard_link(file, &backup).is_err() {
        copy_file(file, &backup).map_err(|error| data_dir::cannot(&backup, error))?;
    }
    data_dir::sync(data_dir)?;
    // Some file systems on Windows replace no open file: then the lock is released just before.
    let replaced = fs::rename(copy, file).or_else(|_| {
        drop(held);
        fs::rename(copy, file)
    });
    replaced.map_err(|error| data_dir::cannot(file, error))?;
    data_dir::sync(data_dir)
}

#[cfg(test)]
mod tests {
    use redb::Database;

    use super::*;
    use crate::Store;
    use crate::redb::layout::{Layout, read_layout};
    use crate::redb::schema::ACCOUNTS;

    fn store() -> tempfile::TempDir {
        let data_dir = tempfile::tempdir().expect("a directory");
        drop(Store::open(data_dir.path(), Options::default()).expect("a new store"));
        data_dir
    }

    fn step_after_the_last(data_dir: &Path, step: Step) -> Result<(), StoreError> {
        let steps: Vec<Step> = STEPS.iter().copied().chain([step]).collect();
        upgrade(data_dir, &Options::default(), SCHEMA_VERSION, &steps)
    }

    #[test]
    fn newer_schema_version_is_refused_by_name() {
        let data_dir = store();
        step_after_the_last(data_dir.path(), |_| Ok(())).expect("upgraded");
        let refused = Store::open(data_dir.path(), Options::default())
            .err()
            .expect("from the future");
        let text = refused.to_string();
        assert!(
            text.contains(concat!(
                "version ",
                env!("CARGO_PKG_VERSION"),
                " of the relay (schema version 3"
            )),
            "{text}"
        );
        assert!(
            Database::open(data_dir.path().join(BEFORE_UPGRADE)).is_ok(),
            "as it was"
        );
    }

    #[test]
    fn locked_store_refuses_other_processes() {
        let data_dir = store();
        let file = data_dir.path().join(FILE);
        let in_use = |error: StoreError| matches!(error, StoreError::InUse { .. });
        let opened = Store::open(data_dir.path(), Options::default()).expect("opens");
        assert!(data_dir::lock_exclusive(&file).is_err_and(in_use));
        drop(opened);
        let held = data_dir::lock_exclusive(&file).expect("not locked");
        assert!(Store::open(data_dir.path(), Options::default()).is_err_and(in_use));
        assert!(copy_file(&file, &data_dir.path().join("copy")).is_ok());
        drop(held);
        assert!(Store::open(data_dir.path(), Options::default()).is_ok());
    }

    #[test]
    fn failed_upgrade_leaves_the_store_unchanged() {
        let data_dir = store();
        let file = data_dir.path().join(FILE);
        let identity = || {
            Store::open(data_dir.path(), Options::default())
                .expect("opens")
                .identity()
        };
        let before = identity();
        let failing: Step = |_| Err(StoreError::Damaged("a step that fails"));
        let inventing: Step = |transaction| {
            let mut table = transaction.open_table(ACCOUNTS.definition)?;
            table.insert(&[7; 8], b"an account that was not there".as_slice())?;
            Ok(())
        };
        for step in [failing, inventing] {
            assert!(step_after_the_last(data_dir.path(), step).is_err());
            assert_eq!(
                read_layout(&file).expect("read"),
                Layout::Version(SCHEMA_VERSION)
            );
            assert!(!data_dir.path().join(UPGRADING).exists());
            assert!(!data_dir.path().join(BEFORE_UPGRADE).exists());
            assert_eq!(identity(), before);
        }
    }
}
