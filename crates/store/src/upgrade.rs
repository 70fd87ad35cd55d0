//! A store of an earlier layout becomes one of this layout. A copy is changed, step by step, and looked
//! through to its last envelope before it takes the store's place. The store as it was stays beside it for
//! the first good day.
//!
//! A step may count on this: what the journal had is in redb. Tables keep their numbers (`tables.rs`), and one
//! that a later layout lacks stays on the list as long as there is a step that begins before it went.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use redb::backends::InMemoryBackend;
use redb::{StorageBackend, WriteTransaction};

use graceful_rules::RelayTime;

use super::look::Totals;
use super::open::{FILE, Identity, KEYS, Options, open_database, open_files, system_chance};
use super::room::Room;
use super::start::Start;
use super::tables::{META, SCHEMA_VERSION, meta};
use super::{Store, StoreError, folder, journal};

/// What an upgrade writes before it takes the store's place.
pub(super) const UPGRADING: &str = "relay.redb.upgrading";

/// The store as it was before an upgrade.
pub(super) const BEFORE_UPGRADE: &str = "relay.redb.before-upgrade";

/// How long that stays, by the relay's own time, while everything is well.
const GOOD_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Bytes that must be free beside a second file like the first: for what the steps write.
const SPARE_BYTES: u64 = 16 * 1024 * 1024;

const BUFFER_BYTES: usize = 1024 * 1024;

/// From one layout to the next.
pub(super) type Step = fn(&WriteTransaction) -> Result<(), StoreError>;

/// The first makes layout 2 of layout 1, and so on.
pub(super) const STEPS: &[Step] = &[name_the_writer];

const _: () = assert!(
    STEPS.len() == SCHEMA_VERSION as usize - 1,
    "each layout but the first has its step"
);

/// Layout 2: the file says which program gave it its layout, as every upgrade notes.
fn name_the_writer(_: &WriteTransaction) -> Result<(), StoreError> {
    Ok(())
}

/// Makes the store in a folder one of this layout. Cut off at any moment, it leaves the store as it was, or
/// upgraded.
pub(super) fn upgrade(
    folder: &Path,
    options: &Options,
    from: u32,
    steps: &[Step],
) -> Result<(), StoreError> {
    let to = u32::try_from(steps.len()).expect("a handful") + 1;
    let (file, copy) = (folder.join(FILE), folder.join(UPGRADING));
    let bytes = fs::metadata(&file)
        .map_err(|error| folder::cannot(&file, error))?
        .len();
    tracing::info!(
        from,
        to,
        bytes,
        "this store is of an earlier layout: upgrading a copy of it"
    );
    folder::remove(&copy)?;
    let room = Room::new(folder, options.free_bytes_min, 0);
    let needed = bytes + SPARE_BYTES;
    if let Some(free) = room.free_bytes().filter(|free| *free < needed) {
        return Err(StoreError::NoRoomToUpgrade {
            folder: folder.to_owned(),
            needed,
            free,
        });
    }
    // What only its journal had is in redb then.
    let old = open_files(
        open_database(&file, options)?,
        folder,
        options.clone(),
        room,
    )?;
    old.close()?;
    let (now, before) = (old.clock_at_open(), old.totals()?);
    drop(old);
    // To the end, so that no other relay can start on what is about to be replaced. Its store was open to be written:
    // like that, Windows lets nobody else read it.
    let held = folder::hold(&file)?;
    let made = copy_file(&file, &copy).map_err(|error| folder::cannot(&copy, error));
    let stepped = made.and_then(|()| step_up(&copy, options, from, steps, now));
    let whole = stepped.and_then(|()| look_through(folder, &copy, options, before));
    whole.inspect_err(|_| drop(fs::remove_file(&copy)))?;
    swap(folder, (&file, held), &copy)?;
    tracing::info!(
        from,
        to,
        "upgraded; the store as it was stays in {BEFORE_UPGRADE} for a day"
    );
    Ok(())
}

fn step_up(
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

/// Opens it as a store, and every envelope in it: there must be as many as before, and of as many accounts. It
/// has journals and keys of its own in memory: those on the disk are not touched.
fn look_through(
    folder: &Path,
    copy: &Path,
    options: &Options,
    before: Totals,
) -> Result<(), StoreError> {
    let (keys, path) = (InMemoryBackend::new(), folder.join(KEYS));
    let bytes = graceful_fs_util::read_optional(&path)
        .map_err(|error| folder::cannot(&path, error))?
        .unwrap_or_default();
    let laid = keys
        .set_len(bytes.len() as u64)
        .and_then(|()| keys.write(0, &bytes));
    laid.expect("memory takes all");
    let journals: [journal::File; 2] = [
        Box::new(InMemoryBackend::new()),
        Box::new(InMemoryBackend::new()),
    ];
    let start = Start::read(open_database(copy, options)?, journals, Identity::fresh())?;
    let store = start.into_store(keys, options.clone(), Box::new(system_chance), None)?;
    let tally = store.inspect_all(&mut |_| {})?;
    let same = (tally.accounts, tally.envelopes) == (before.accounts, before.envelopes);
    if !same || tally.unopened + tally.misplaced + tally.miscounted > 0 {
        return Err(StoreError::UpgradeDiffers {
            folder: folder.to_owned(),
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

/// The old file gets its second name before the new one takes the first.
fn swap(
    folder: &Path,
    (file, held): (&Path, Box<dyn Send>),
    copy: &Path,
) -> Result<(), StoreError> {
    let kept = folder.join(BEFORE_UPGRADE);
    folder::remove(&kept)?;
    // Not every file system has two names for one file.
    if fs::hard_link(file, &kept).is_err() {
        copy_file(file, &kept).map_err(|error| folder::cannot(&kept, error))?;
    }
    folder::sync(folder)?;
    // Some file systems of Windows replace no file that is open: then it is let go of a moment before.
    let replaced = fs::rename(copy, file).or_else(|_| {
        drop(held);
        fs::rename(copy, file)
    });
    replaced.map_err(|error| folder::cannot(file, error))?;
    folder::sync(folder)
}

impl Store {
    /// Removes what an upgrade kept, if the relay has been well for a day since. Says whether it did.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn forget_upgrade(&self, now: RelayTime) -> Result<bool, StoreError> {
        let Some(kept) = self
            .room
            .as_ref()
            .map(|room| room.folder().join(BEFORE_UPGRADE))
        else {
            return Ok(false);
        };
        if !kept.exists() {
            return Ok(false);
        }
        let upgraded = RelayTime::from_ms(self.moment()?.number(meta::UPGRADED)?);
        if now < upgraded.plus(GOOD_DAY) {
            return Ok(false);
        }
        folder::remove(&kept)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use redb::Database;

    use super::*;
    use crate::open::{Layout, look_into};
    use crate::tables::ACCOUNTS;

    fn store() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        drop(Store::open(folder.path(), Options::default()).expect("a new store"));
        folder
    }

    fn step_after_the_last(folder: &Path, step: Step) -> Result<(), StoreError> {
        let steps: Vec<Step> = STEPS.iter().copied().chain([step]).collect();
        upgrade(folder, &Options::default(), SCHEMA_VERSION, &steps)
    }

    #[test]
    fn the_version_before_names_the_one_that_it_cannot_read() {
        let folder = store();
        step_after_the_last(folder.path(), |_| Ok(())).expect("upgraded");
        let refused = Store::open(folder.path(), Options::default())
            .err()
            .expect("from the future");
        let text = refused.to_string();
        assert!(
            text.contains(concat!(
                "version ",
                env!("CARGO_PKG_VERSION"),
                " of the relay (layout 3"
            )),
            "{text}"
        );
        assert!(
            Database::open(folder.path().join(BEFORE_UPGRADE)).is_ok(),
            "as it was"
        );
    }

    #[test]
    fn who_holds_a_store_has_it_alone() {
        let folder = store();
        let file = folder.path().join(FILE);
        let in_use = |error: StoreError| matches!(error, StoreError::InUse { .. });
        let opened = Store::open(folder.path(), Options::default()).expect("opens");
        assert!(folder::hold(&file).is_err_and(in_use));
        drop(opened);
        let held = folder::hold(&file).expect("nobody has it");
        assert!(Store::open(folder.path(), Options::default()).is_err_and(in_use));
        assert!(copy_file(&file, &folder.path().join("copy")).is_ok());
        drop(held);
        assert!(Store::open(folder.path(), Options::default()).is_ok());
    }

    #[test]
    fn what_goes_wrong_leaves_the_store_as_it_was() {
        let folder = store();
        let file = folder.path().join(FILE);
        let identity = || {
            Store::open(folder.path(), Options::default())
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
            assert!(step_after_the_last(folder.path(), step).is_err());
            assert_eq!(
                look_into(&file).expect("read"),
                Layout::Number(SCHEMA_VERSION)
            );
            assert!(!folder.path().join(UPGRADING).exists());
            assert!(!folder.path().join(BEFORE_UPGRADE).exists());
            assert_eq!(identity(), before);
        }
    }
}
