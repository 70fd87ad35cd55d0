//! The parts of a backup: a consistent copy of store and day keys, and the files beside them.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, anyhow};
use indicatif::ProgressBar;
use tokio::runtime::Handle;

use crate::operator::offline_store;
use graceful_server::admin::{self, AdminError};
use graceful_server::config::Config;

/// Files copied as they are, if they exist: certificates and keys, the uptime log, the configuration. A
/// client profile in the data directory belongs to its user.
const BESIDE: [&str; 3] = ["tls", "sla", "config.toml"];

/// Rows between two updates of the progress bar.
const STEP_ROWS: u64 = 1_000;

/// Writes all parts into an empty directory, on a blocking thread.
pub(super) fn gather(config: &Config, parts: &Path, bar: &ProgressBar) -> anyhow::Result<()> {
    let mut progress = |done: u64, rows: u64| {
        if done.is_multiple_of(STEP_ROWS) || done == rows {
            bar.set_length(rows);
            bar.set_position(done);
        }
    };
    match Handle::current().block_on(admin::request_export(&config.data_dir)) {
        Ok(mut stream) => {
            graceful_store::import(&mut stream, parts, &mut progress)?;
        }
        Err(AdminError::NotRunning(_)) => in_folder(config, parts, &mut progress)?,
        Err(error) => return Err(error.into()),
    }
    for name in BESIDE {
        let from = config.data_dir.join(name);
        copy(&from, &parts.join(name))
            .with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(())
}

fn in_folder(
    config: &Config,
    parts: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> anyhow::Result<()> {
    let store = offline_store::open(config)?;
    let (mut reading, writing) = io::pipe().context("cannot create a pipe")?;
    std::thread::scope(|scope| {
        let sending = scope.spawn(move || store.export(&mut io::BufWriter::new(writing)));
        let taken = graceful_store::import(&mut io::BufReader::new(&mut reading), parts, progress);
        // Unblocks the sender when the receiver stops.
        drop(reading);
        let sent = sending
            .join()
            .map_err(|_| anyhow!("export task panicked"))?;
        taken?;
        sent?;
        Ok(())
    })
}

/// Copies a file or a directory tree, if it exists.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let kind = match fs::metadata(from) {
        // Such as a file that was just replaced.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        kind => kind?,
    };
    if kind.is_dir() {
        fs::create_dir(to)?;
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            copy(&from.join(&name), &to.join(&name))?;
        }
    } else if kind.is_file() {
        match fs::copy(from, to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            copied => drop(copied?),
        }
    }
    Ok(())
}
