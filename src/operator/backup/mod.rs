//! `graceful-relay backup`: everything that a restore needs in one file, from the running relay or, where
//! none runs, from its folder.

pub(crate) mod archive;
mod gather;
mod keep;
mod staging;
pub(crate) mod unpack;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{DecimalBytes, ProgressBar, ProgressStyle};
use jiff::Timestamp;

use self::staging::Staging;
use crate::config_args::ConfigArgs;
use crate::human::plural;
use graceful_server::admin::{self, AdminError, AdminRequest, AdminResponse};
use graceful_server::config::Config;

/// Older backups of this relay that stay.
type Keep = std::num::NonZeroUsize;

#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The file to write, or a folder, in which it gets a name with the time in it
    #[arg(value_name = "FILE")]
    to: PathBuf,
    /// Of this relay's backups in the folder, keep so many, the new one among them; older ones go when the
    /// new one is found good
    #[arg(long, value_name = "N")]
    keep: Option<Keep>,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config_args: ConfigArgs,
}

/// What came of it.
struct Done {
    note: admin::Backup,
    found: unpack::Found,
    removed: Vec<PathBuf>,
}

impl Backup {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let config = self.config_args.load(None)?;
        let (to, keep, folder) = (self.to.clone(), self.keep, config.data_dir.clone());
        let made = tokio::task::spawn_blocking(move || make(&config, &to, keep)).await;
        let done = made.context("the backup ended badly")??;
        note(&folder, &done.note).await?;
        let admin::Backup { at, file, bytes } = &done.note;
        let unpack::Found {
            accounts,
            envelopes,
            ..
        } = done.found;
        if self.json {
            let result = serde_json::json!({
                "at": at, "file": file, "bytes": bytes, "accounts": accounts, "envelopes": envelopes,
                "removed": done.removed,
            });
            println!("{result}");
            return Ok(());
        }
        println!(
            "{file}: {}, with {} and {}; unpacked, opened and read to the end.",
            DecimalBytes(*bytes),
            plural(accounts, "account"),
            plural(envelopes, "envelope")
        );
        for file in &done.removed {
            println!("Removed the older {}.", file.display());
        }
        Ok(())
    }
}

fn make(config: &Config, to: &Path, keep: Option<Keep>) -> anyhow::Result<Done> {
    let at = Timestamp::now();
    let file = keep::destination(to, at)?;
    if keep.is_some() && !to.is_dir() {
        bail!("--keep goes with a folder, and {} is none", to.display());
    }
    if file.exists() {
        bail!(
            "{} is there already; choose another name, or a folder",
            file.display()
        );
    }
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let folder =
        fs::canonicalize(folder).with_context(|| format!("cannot use {}", folder.display()))?;
    let file = folder.join(file.file_name().context("this is no name for a file")?);
    if fs::canonicalize(&config.data_dir).is_ok_and(|data| folder.starts_with(data)) {
        bail!(
            "a backup does not belong into the data folder; choose another place, best on another disk"
        );
    }
    let staging = Staging::new(&folder)?;
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(
        "{msg:>9} {bar:30.cyan} {human_pos} of {human_len} rows",
    )?);
    let parts = staging.fresh("parts")?;
    bar.set_message("copying");
    gather::gather(config, &parts, &bar)?;
    bar.set_message("packing");
    let packed = staging.path().join("packed");
    archive::pack(&parts, &packed, at)?;
    // Looked at as a restore does: what cannot be restored is no backup.
    fs::remove_dir_all(&parts).context("cannot remove the parts that were packed")?;
    bar.set_message("checking");
    let found = unpack::unpack(&packed, &staging.fresh("check")?, &bar)?;
    bar.finish_and_clear();
    let cannot = || format!("cannot put the backup at {}", file.display());
    // Never over a file that came meanwhile.
    fs::hard_link(&packed, &file)
        .or_else(|error| match file.exists() {
            true => Err(error),
            // Not every file system has links.
            false => fs::rename(&packed, &file),
        })
        .with_context(cannot)?;
    graceful_fs_util::sync_dir(&folder).with_context(cannot)?;
    drop(staging);
    let removed = match keep {
        Some(keep) => keep::remove_older(&folder, &found.manifest.relay_id, keep.get())?,
        None => Vec::new(),
    };
    let bytes = fs::metadata(&file).with_context(cannot)?.len();
    let note = admin::Backup {
        at: found.manifest.at.clone(),
        file: file.display().to_string(),
        bytes,
    };
    Ok(Done {
        note,
        found,
        removed,
    })
}

/// Through the running relay, whose file the note is, or without it.
async fn note(folder: &Path, backup: &admin::Backup) -> anyhow::Result<()> {
    match admin::request(
        folder,
        &AdminRequest::NoteBackup {
            backup: backup.clone(),
        },
    )
    .await
    {
        Ok(AdminResponse::Noted) => Ok(()),
        Ok(AdminResponse::Error(text)) => bail!("the backup is good, but {text}"),
        Ok(_) => bail!("the backup is good, but the relay answered another question"),
        Err(AdminError::NotRunning(_)) => {
            admin::record_backup(folder, backup)
                .context("the backup is good, but could not be noted")?;
            take_owner(folder, &folder.join(admin::LAST_BACKUP))
        }
        Err(error) => Err(error).context("the backup is good, but could not be noted"),
    }
}

/// Gives a file to whoever has the folder: the command may have been run by root.
#[cfg(unix)]
pub(crate) fn take_owner(folder: &Path, file: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::{MetadataExt, chown};
    let cannot = || {
        format!(
            "cannot give {} to the owner of {}",
            file.display(),
            folder.display()
        )
    };
    let (owner, is) = (
        fs::metadata(folder).with_context(cannot)?,
        fs::metadata(file).with_context(cannot)?,
    );
    if (owner.uid(), owner.gid()) != (is.uid(), is.gid()) {
        chown(file, Some(owner.uid()), Some(owner.gid())).with_context(cannot)?;
    }
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn take_owner(_folder: &Path, _file: &Path) -> anyhow::Result<()> {
    Ok(())
}
