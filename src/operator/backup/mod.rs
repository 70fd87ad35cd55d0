//! `graceful-relay backup`: one file for a restore, from the running relay or from its data directory.

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
    /// Output file or directory
    #[arg(value_name = "FILE")]
    to: PathBuf,
    /// Backups to keep in the directory
    #[arg(long, value_name = "N")]
    keep: Option<Keep>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config_args: ConfigArgs,
}

/// The result.
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
        let done = made.context("backup task panicked")??;
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
            "{file}: {}, with {} and {}; verified.",
            DecimalBytes(*bytes),
            plural(accounts, "account"),
            plural(envelopes, "envelope")
        );
        for file in &done.removed {
            println!("Deleted the older {}.", file.display());
        }
        Ok(())
    }
}

fn make(config: &Config, to: &Path, keep: Option<Keep>) -> anyhow::Result<Done> {
    let at = Timestamp::now();
    let file = keep::destination(to, at)?;
    if keep.is_some() && !to.is_dir() {
        bail!("--keep needs a directory; {} is not one", to.display());
    }
    if file.exists() {
        bail!(
            "{} exists; use another name, or a directory",
            file.display()
        );
    }
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let folder =
        fs::canonicalize(folder).with_context(|| format!("cannot use {}", folder.display()))?;
    let file = folder.join(file.file_name().context("not a file name")?);
    if fs::canonicalize(&config.data_dir).is_ok_and(|data| folder.starts_with(data)) {
        bail!(
            "the backup must be outside the data directory; use another directory, best on another disk"
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
    // Verified as by a restore.
    fs::remove_dir_all(&parts).context("cannot delete the packed parts")?;
    bar.set_message("checking");
    let found = unpack::unpack(&packed, &staging.fresh("check")?, &bar)?;
    bar.finish_and_clear();
    let cannot = || format!("cannot write {}", file.display());
    // Never replaces a file that was created meanwhile.
    fs::hard_link(&packed, &file)
        .or_else(|error| match file.exists() {
            true => Err(error),
            // Not every file system has hard links.
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

/// Records the backup, through the running relay if there is one.
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
        Ok(AdminResponse::Error(text)) => bail!("the backup is complete, but {text}"),
        Ok(_) => bail!("the backup is complete, but the relay sent an unexpected response"),
        Err(AdminError::NotRunning(_)) => {
            admin::record_backup(folder, backup)
                .context("the backup is complete, but cannot be recorded")?;
            take_owner(folder, &folder.join(admin::LAST_BACKUP))
        }
        Err(error) => Err(error).context("the backup is complete, but cannot be recorded"),
    }
}

/// Gives a file to the directory's owner: root may run the command.
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
