//! Unpacking and verification of a backup, before a restore.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Component, Path};

use anyhow::{Context, anyhow, bail};
use indicatif::ProgressBar;

use super::archive::{BUFFER_BYTES, DATA, FORMAT, MANIFEST, Manifest, Part, TAIL_BYTES, tail};
use graceful_store::{Engine as _, FILE, HashingWriter, Options, SCHEMA_VERSION, Store};

/// Maximum size of the manifest.
const MANIFEST_BYTES_MAX: u64 = 1024 * 1024;

/// Page cache for verification.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// A verified backup.
pub(crate) struct Found {
    pub(crate) manifest: Manifest,
    pub(crate) accounts: u64,
    pub(crate) envelopes: u64,
    /// Its store, opened where it was unpacked.
    pub(crate) store: Store,
}

/// Unpacks the backup into an empty directory, opens its store and verifies every envelope and account.
pub(crate) fn unpack(backup: &Path, into: &Path, bar: &ProgressBar) -> anyhow::Result<Found> {
    let manifest = look(backup)?;
    let unpacked = unpack_parts(backup, &manifest, into);
    unpacked.with_context(|| format!("cannot unpack {}", backup.display()))?;
    let options = Options {
        cache_bytes: CACHE_BYTES,
        ..Options::default()
    };
    let store = Store::open(into, options).context("cannot open the store in the backup")?;
    bar.set_length(store.totals()?.envelopes);
    let tally = store.audit_all(&mut |envelopes| bar.set_position(envelopes))?;
    if tally.unreadable + tally.misplaced + tally.miscounted > 0 {
        bail!(
            "the store in the backup is corrupted: {} envelopes are unreadable, {} are misplaced, {} accounts are \
             miscounted; check the relay's own store with `graceful-relay verify`",
            tally.unreadable,
            tally.misplaced,
            tally.miscounted
        );
    }
    Ok(Found {
        manifest,
        accounts: tally.accounts,
        envelopes: tally.envelopes,
        store,
    })
}

/// Returns the manifest, after verifying the checksum.
pub(crate) fn look(backup: &Path) -> anyhow::Result<Manifest> {
    let named = || format!("cannot read {}", backup.display());
    let damaged = || {
        anyhow!(
            "{} is damaged or incomplete; use another backup, or another copy",
            backup.display()
        )
    };
    let mut file = BufReader::with_capacity(BUFFER_BYTES, File::open(backup).with_context(named)?);
    let bytes = file.get_ref().metadata().with_context(named)?.len();
    let manifest = manifest_of(&mut file).with_context(named)?;
    let Some(text) = manifest else {
        bail!("{} is not a backup of Graceful Relay", backup.display());
    };
    // Later versions may have another end.
    let known: Option<serde_json::Value> = serde_json::from_slice(&text).ok();
    let number = |name: &str| {
        known
            .as_ref()
            .and_then(|known| known[name].as_u64())
            .unwrap_or(0)
    };
    let newer = number("format") > FORMAT.into() || number("schema") > SCHEMA_VERSION.into();
    if number("format") <= FORMAT.into() {
        let body = bytes.checked_sub(TAIL_BYTES).ok_or_else(damaged)?;
        file.seek(SeekFrom::Start(0)).with_context(named)?;
        let mut hash = HashingWriter::new(io::sink());
        io::copy(&mut file.by_ref().take(body), &mut hash).with_context(named)?;
        let mut end = Vec::new();
        file.take(TAIL_BYTES + 1)
            .read_to_end(&mut end)
            .with_context(named)?;
        if end != tail(&hash.hex())? {
            return Err(damaged());
        }
    }
    if newer {
        bail!(
            "{} was made by a newer version of the relay ({}); restore it with that version",
            backup.display(),
            known
                .as_ref()
                .and_then(|known| known["version"].as_str())
                .unwrap_or("unknown")
        );
    }
    serde_json::from_slice(&text).map_err(|_| damaged())
}

/// Reads the manifest. `None`: not a backup.
pub(super) fn manifest_of(file: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut header = tar::Header::new_gnu();
    match file.read_exact(header.as_mut_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    if header.path_bytes() != MANIFEST.as_bytes() {
        return Ok(None);
    }
    let Ok(bytes) = header.size() else {
        return Ok(Some(Vec::new()));
    };
    let mut text = Vec::new();
    file.take(bytes.min(MANIFEST_BYTES_MAX))
        .read_to_end(&mut text)?;
    Ok(Some(text))
}

fn unpack_parts(backup: &Path, manifest: &Manifest, into: &Path) -> anyhow::Result<()> {
    let mut archive =
        tar::Archive::new(BufReader::with_capacity(BUFFER_BYTES, File::open(backup)?));
    // The manifest first, its parts in order, the checksum last.
    let mut entries = archive.entries()?.skip(1);
    for part in &manifest.parts {
        let mut entry = entries.next().context("a part is missing")??;
        let is = entry.path_bytes().into_owned();
        if is != format!("{DATA}{}", part.name).as_bytes() || entry.size() != part.bytes {
            bail!("the parts do not match the manifest");
        }
        unpack_part(&mut entry, part, into).with_context(|| format!("part {}", part.name))?;
    }
    if !manifest.parts.iter().any(|part| part.name == FILE) {
        bail!("the backup has no store");
    }
    graceful_fs_util::sync_dir(into)?;
    Ok(())
}

fn unpack_part(from: &mut impl Read, part: &Part, into: &Path) -> anyhow::Result<()> {
    let name = Path::new(&part.name);
    if part.name.is_empty()
        || !name
            .components()
            .all(|step| matches!(step, Component::Normal(_)))
    {
        bail!("its name leads outside the directory");
    }
    let path = into.join(name);
    if let Some(folder) = path.parent() {
        graceful_fs_util::create_dir_all_private(folder)?;
    }
    let mut file = HashingWriter::new(graceful_fs_util::create_private(&path)?);
    io::copy(from, &mut file)?;
    if file.hex() != part.sha256 {
        bail!("checksum mismatch");
    }
    file.into_inner().sync_all()?;
    Ok(())
}
