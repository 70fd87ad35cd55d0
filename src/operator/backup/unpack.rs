//! A backup taken apart and judged, as a restore needs it. Nothing that is wrong with it gets past here.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Component, Path};

use anyhow::{Context, anyhow, bail};
use indicatif::ProgressBar;

use super::archive::{BUFFER_BYTES, DATA, FORMAT, MANIFEST, Manifest, Part, TAIL_BYTES, tail};
use graceful_store::{Engine as _, FILE, HashingWriter, Options, SCHEMA_VERSION, Store};

/// Bytes of the list of parts, far above the longest.
const MANIFEST_BYTES_MAX: u64 = 1024 * 1024;

/// Bytes of memory for looking at the store.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// A backup that is good.
pub(crate) struct Found {
    pub(crate) manifest: Manifest,
    pub(crate) accounts: u64,
    pub(crate) envelopes: u64,
    /// The store in it, open where it was unpacked.
    pub(crate) store: Store,
}

/// Reads the backup to its end, unpacks it into an empty folder, opens the store there and looks at every
/// envelope and account in it.
pub(crate) fn unpack(backup: &Path, into: &Path, bar: &ProgressBar) -> anyhow::Result<Found> {
    let manifest = look(backup)?;
    let unpacked = unpack_parts(backup, &manifest, into);
    unpacked.with_context(|| format!("cannot unpack {}", backup.display()))?;
    let options = Options {
        cache_bytes: CACHE_BYTES,
        ..Options::default()
    };
    let store = Store::open(into, options).context("the store in the backup does not open")?;
    bar.set_length(store.totals()?.envelopes);
    let tally = store.audit_all(&mut |envelopes| bar.set_position(envelopes))?;
    if tally.unreadable + tally.misplaced + tally.miscounted > 0 {
        bail!(
            "the store in the backup is not good: {} envelopes do not open, {} are not where they should be, \
             {} accounts are miscounted; `graceful-relay verify` says whether the relay's own store is",
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

/// What a file says of itself, once every byte of it is as it was written.
pub(crate) fn look(backup: &Path) -> anyhow::Result<Manifest> {
    let named = || format!("cannot read {}", backup.display());
    let damaged = || {
        anyhow!(
            "{} is damaged or was cut off; take another backup, or another copy of it",
            backup.display()
        )
    };
    let mut file = BufReader::with_capacity(BUFFER_BYTES, File::open(backup).with_context(named)?);
    let bytes = file.get_ref().metadata().with_context(named)?.len();
    let manifest = manifest_of(&mut file).with_context(named)?;
    let Some(text) = manifest else {
        bail!("{} is not a backup of Graceful Relay", backup.display());
    };
    // What a later version made may end in another way.
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

/// The list of parts. `None`: this is another kind of file.
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
    // The list comes first, the checksum last; what lies between is what the list says.
    let mut entries = archive.entries()?.skip(1);
    for part in &manifest.parts {
        let mut entry = entries.next().context("a part is missing")??;
        let is = entry.path_bytes().into_owned();
        if is != format!("{DATA}{}", part.name).as_bytes() || entry.size() != part.bytes {
            bail!("the parts are not those of its list");
        }
        unpack_part(&mut entry, part, into).with_context(|| format!("the part {}", part.name))?;
    }
    if !manifest.parts.iter().any(|part| part.name == FILE) {
        bail!("there is no store in it");
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
        bail!("it has a name that leads elsewhere");
    }
    let path = into.join(name);
    if let Some(folder) = path.parent() {
        graceful_fs_util::create_dir_all_private(folder)?;
    }
    let mut file = HashingWriter::new(graceful_fs_util::create_private(&path)?);
    io::copy(from, &mut file)?;
    if file.hex() != part.sha256 {
        bail!("its checksum differs");
    }
    file.into_inner().sync_all()?;
    Ok(())
}
