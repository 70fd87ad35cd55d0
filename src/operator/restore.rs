//! `graceful-relay restore`: replaces the data directory by a backup, and moves the previous files aside.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::backup::take_owner;
use super::backup::unpack::{Found, unpack};
use crate::config_args::ConfigArgs;
use crate::human::plural;
use graceful_server::admin::{self, AdminError, AdminRequest};
use graceful_store::{
    self, BEFORE_RESTORE, FILE, Identity, JOURNALS, KEYS, Options, RESTORING, Store,
};

/// Files that are moved aside, the store first: without it no relay starts on a mixture.
const REPLACED: [&str; 5] = [FILE, JOURNALS[0], JOURNALS[1], KEYS, "tls"];

/// Files that stay if they exist, and otherwise come from the backup: the uptime log is of this machine, and
/// the configuration may have changed for a reason.
const KEPT: [&str; 2] = ["sla", "config.toml"];

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// Backup file
    #[arg(required_unless_present = "mark_only")]
    file: Option<PathBuf>,
    /// Mark files copied back by hand as restored
    #[arg(long, conflicts_with = "file")]
    mark_only: bool,
    #[command(flatten)]
    config_args: ConfigArgs,
}

impl Restore {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let data_dir = self.config_args.load(None)?.data_dir;
        match admin::request(&data_dir, &AdminRequest::Status {}).await {
            Err(AdminError::NotRunning(_) | AdminError::TooLong(_)) => {}
            Ok(_) | Err(AdminError::NoAnswer(_)) => bail!(
                "a relay is running on {}; stop it first (`graceful-relay service stop`)",
                data_dir.display()
            ),
            Err(error) => return Err(error.into()),
        }
        match self.file {
            Some(file) => restore_backup(file, data_dir).await,
            None => mark_only(data_dir).await,
        }
    }
}

async fn restore_backup(file: PathBuf, data_dir: PathBuf) -> anyhow::Result<()> {
    let (from, into) = (file.clone(), data_dir.clone());
    let restored = tokio::task::spawn_blocking(move || restore(&from, &into)).await;
    let Restored {
        at,
        accounts,
        envelopes,
        aside,
    } = restored.context("restore task panicked")??;
    println!(
        "Restored {}, made at {at}, into {}: {}, {}.",
        file.display(),
        data_dir.display(),
        plural(accounts, "account"),
        plural(envelopes, "envelope")
    );
    if let Some(aside) = aside {
        println!(
            "The previous files are in {}. They contain keys; delete them when the relay works.",
            aside.display()
        );
    }
    println!(
        "Next: start the relay (`graceful-relay service start`). Devices then upload what the backup is missing."
    );
    Ok(())
}

/// Starts a new store epoch on files that were copied back by hand.
async fn mark_only(data_dir: PathBuf) -> anyhow::Result<()> {
    if !data_dir.join(FILE).exists() {
        bail!(
            "no store in {}; copy the files back first, or use another --data-dir",
            data_dir.display()
        );
    }
    let begin = move || {
        let store = Store::open(&data_dir, Options::default())?;
        store.begin_epoch(Identity::generate().epoch)
    };
    tokio::task::spawn_blocking(begin)
        .await
        .context("restore task panicked")??;
    println!("Next: start the relay. Devices then upload what the copy is missing.");
    Ok(())
}

struct Restored {
    at: String,
    accounts: u64,
    envelopes: u64,
    aside: Option<PathBuf>,
}

fn restore(backup: &Path, folder: &Path) -> anyhow::Result<Restored> {
    // Checked before the directory or anything in it is created.
    super::backup::unpack::look(backup)?;
    make(folder)?;
    let _nobody_else = hold(folder)?;
    let unpacked = folder.join(RESTORING);
    if unpacked.exists() {
        let what = "cannot delete the files of an interrupted restore";
        fs::remove_dir_all(&unpacked).context(what)?;
    }
    make(&unpacked)?;
    let prepared = prepare(backup, &unpacked, folder);
    let (at, accounts, envelopes) = prepared.inspect_err(|_| {
        // In a directory without a store, a failed restore must not look like an interrupted one.
        let _ = fs::remove_dir_all(&unpacked);
    })?;
    let aside = swap(folder, &unpacked)?;
    let _ = fs::remove_dir_all(&unpacked);
    let bytes = fs::metadata(backup).map_or(0, |file| file.len());
    if admin::last_backup(folder).is_none() {
        let file = fs::canonicalize(backup)
            .unwrap_or_else(|_| backup.to_owned())
            .display()
            .to_string();
        admin::record_backup(
            folder,
            &admin::Backup {
                at: at.clone(),
                file,
                bytes,
            },
        )
        .context("the backup is restored, but cannot be recorded as the last one")?;
        take_owner(folder, &folder.join(admin::LAST_BACKUP))?;
    }
    Ok(Restored {
        at,
        accounts,
        envelopes,
        aside,
    })
}

fn make(folder: &Path) -> anyhow::Result<()> {
    graceful_fs_util::create_dir_all_private(folder)
        .with_context(|| format!("cannot create {}", folder.display()))
}

/// Locks the existing store, so that no relay starts on it.
fn hold(folder: &Path) -> anyhow::Result<Option<Box<dyn Send>>> {
    let path = folder.join(FILE);
    Ok(if path.exists() {
        Some(graceful_store::lock_exclusive(&path)?)
    } else {
        None
    })
}

/// Unpacks and checks the backup, starts a new store epoch, and gives the files to the directory's owner.
fn prepare(backup: &Path, unpacked: &Path, folder: &Path) -> anyhow::Result<(String, u64, u64)> {
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(
        "checking {bar:30.cyan} {human_pos} of {human_len} envelopes",
    )?);
    let Found {
        manifest,
        accounts,
        envelopes,
        store,
    } = unpack(backup, unpacked, &bar)?;
    bar.finish_and_clear();
    store.begin_epoch(Identity::generate().epoch)?;
    drop(store);
    for journal in JOURNALS {
        fs::remove_file(unpacked.join(journal)).context("cannot delete an empty journal")?;
    }
    for name in [FILE, KEYS] {
        graceful_fs_util::sync_file(&unpacked.join(name)).context("cannot write the store")?;
    }
    give(folder, unpacked)?;
    graceful_fs_util::sync_dir(unpacked).context("cannot write the store")?;
    Ok((manifest.at, accounts, envelopes))
}

fn give(folder: &Path, below: &Path) -> anyhow::Result<()> {
    take_owner(folder, below)?;
    for entry in fs::read_dir(below).context("cannot list the unpacked files")? {
        let path = entry.context("cannot list the unpacked files")?.path();
        match path.is_dir() {
            true => give(folder, &path)?,
            false => take_owner(folder, &path)?,
        }
    }
    Ok(())
}

/// Moves the old files aside and the new ones in, the store last. Returns where the old ones are.
fn swap(folder: &Path, unpacked: &Path) -> anyhow::Result<Option<PathBuf>> {
    let mut moved = Vec::new();
    let swapped = swap_logged(folder, unpacked, &mut moved);
    if swapped.is_err() {
        for (from, to) in moved.iter().rev() {
            // The error names files that cannot be moved back.
            let _ = fs::rename(to, from);
        }
    }
    swapped
}

fn swap_logged(
    folder: &Path,
    unpacked: &Path,
    moved: &mut Vec<(PathBuf, PathBuf)>,
) -> anyhow::Result<Option<PathBuf>> {
    let mut rename = |from: PathBuf, to: PathBuf| {
        fs::rename(&from, &to)
            .with_context(|| format!("cannot move {} to {}", from.display(), to.display()))?;
        moved.push((from, to));
        anyhow::Ok(())
    };
    let old: Vec<_> = REPLACED
        .into_iter()
        .filter(|name| folder.join(name).exists())
        .collect();
    let mut aside = None;
    if !old.is_empty() {
        let place = free_place(folder);
        make(&place)?;
        take_owner(folder, &place)?;
        for name in old {
            rename(folder.join(name), place.join(name))?;
        }
        graceful_fs_util::sync_dir(folder)?;
        aside = Some(place);
    }
    for name in KEPT.into_iter().chain(REPLACED.into_iter().rev()) {
        if unpacked.join(name).exists() && !folder.join(name).exists() {
            rename(unpacked.join(name), folder.join(name))?;
        }
    }
    graceful_fs_util::sync_dir(folder)?;
    Ok(aside)
}

/// An unused name.
fn free_place(folder: &Path) -> PathBuf {
    let name = format!(
        "{BEFORE_RESTORE}{}",
        Timestamp::now().strftime("%Y-%m-%dT%H%M%SZ")
    );
    let named = |number: u32| match number {
        1 => folder.join(&name),
        _ => folder.join(format!("{name}-{number}")),
    };
    (1..)
        .map(named)
        .find(|place| !place.exists())
        .expect("numbers outnumber directories")
}
