//! The backup format: a tar file that starts with a manifest of its parts and ends with a checksum of all
//! bytes before it.
//!
//! ```text
//! graceful-relay-backup/manifest.json   what, when, by which version; name, bytes and SHA-256 of each part
//! graceful-relay-backup/data/…          the parts, as in the data directory
//! graceful-relay-backup/sha256          over every byte before this entry
//! 1,024 zeros                           the end of a tar file
//! ```

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use anyhow::Context;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use graceful_store::{Engine as _, HashingWriter, Options, SCHEMA_VERSION, Store};

/// The version of this format.
pub(super) const FORMAT: u32 = 1;

pub(super) const MANIFEST: &str = "graceful-relay-backup/manifest.json";
pub(super) const DATA: &str = "graceful-relay-backup/data/";
const CHECKSUM: &str = "graceful-relay-backup/sha256";

/// The last entry and the end of the archive: header, checksum, 1,024 zeros.
pub(super) const TAIL_BYTES: u64 = 2_048;

/// Read buffer.
pub(super) const BUFFER_BYTES: usize = 256 * 1024;

/// The manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// Version of the program.
    pub(crate) version: String,
    /// Schema version of the store.
    pub(crate) schema: u32,
    /// Creation time (RFC 3339).
    pub(crate) at: String,
    /// The relay id.
    pub(crate) relay_id: String,
    pub(crate) parts: Vec<Part>,
}

/// A file in the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Path below the data directory, with slashes.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// Packs a directory into a new file, and syncs it.
pub(super) fn pack(parts: &Path, to: &Path, at: Timestamp) -> anyhow::Result<()> {
    let relay_id = Store::open(parts, Options::default())?
        .identity()
        .relay_id
        .to_string();
    // Opening creates empty journals.
    for journal in graceful_store::JOURNALS {
        fs::remove_file(parts.join(journal)).context("cannot delete an empty journal")?;
    }
    let mut names = Vec::new();
    list(parts, "", &mut names).context("cannot list the parts of the backup")?;
    let parts_of = names
        .iter()
        .map(|name| part(parts, name))
        .collect::<io::Result<_>>();
    let manifest = Manifest {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        schema: SCHEMA_VERSION,
        at: at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        relay_id,
        parts: parts_of.context("cannot read the parts of the backup")?,
    };
    write(&manifest, parts, to).with_context(|| format!("cannot write {}", to.display()))
}

fn list(folder: &Path, above: &str, names: &mut Vec<String>) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = format!("{above}{}", entry.file_name().to_string_lossy());
        match entry.file_type()?.is_dir() {
            true => list(&entry.path(), &format!("{name}/"), names)?,
            false => names.push(name),
        }
    }
    Ok(())
}

fn part(folder: &Path, name: &str) -> io::Result<Part> {
    let mut hash = HashingWriter::new(io::sink());
    let bytes = io::copy(&mut File::open(folder.join(name))?, &mut hash)?;
    Ok(Part {
        name: name.to_owned(),
        bytes,
        sha256: hash.hex(),
    })
}

fn write(manifest: &Manifest, parts: &Path, to: &Path) -> io::Result<()> {
    let file = BufWriter::with_capacity(BUFFER_BYTES, graceful_fs_util::create_private(to)?);
    let mut archive = tar::Builder::new(HashingWriter::new(file));
    let text = serde_json::to_vec_pretty(manifest)?;
    append(&mut archive, MANIFEST, text.len() as u64, &text[..])?;
    for part in &manifest.parts {
        let from = File::open(parts.join(&part.name))?;
        append(
            &mut archive,
            &format!("{DATA}{}", part.name),
            part.bytes,
            from,
        )?;
    }
    // The builder appends the zeros of the tail.
    let checksum = archive.get_ref().hex();
    append(
        &mut archive,
        CHECKSUM,
        checksum.len() as u64,
        checksum.as_bytes(),
    )?;
    let file = archive.into_inner()?.into_inner();
    file.into_inner()
        .map_err(io::IntoInnerError::into_error)?
        .sync_all()
}

/// Without user and time, which would reveal more than the backup needs.
fn append<W: Write>(
    archive: &mut tar::Builder<W>,
    name: &str,
    bytes: u64,
    from: impl Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o600);
    header.set_cksum();
    archive.append_data(&mut header, name, from)
}

/// The end of a backup with this checksum.
pub(super) fn tail(checksum: &str) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    append(
        &mut archive,
        CHECKSUM,
        checksum.len() as u64,
        checksum.as_bytes(),
    )?;
    archive.into_inner()
}
