//! The form of a backup: a tar file that begins with a list of its parts and ends with a checksum of all
//! that comes before it.
//!
//! ```text
//! graceful-relay-backup/manifest.json   what, when, by which version; name, bytes and SHA-256 of each part
//! graceful-relay-backup/data/…          the parts, as they lie in a data folder
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

/// Of this form.
pub(super) const FORMAT: u32 = 1;

pub(super) const MANIFEST: &str = "graceful-relay-backup/manifest.json";
pub(super) const DATA: &str = "graceful-relay-backup/data/";
const CHECKSUM: &str = "graceful-relay-backup/sha256";

/// The last entry and the end: 512 bytes of header, 512 that hold the checksum, 1,024 zeros.
pub(super) const TAIL_BYTES: u64 = 2_048;

/// Bytes read at once.
pub(super) const BUFFER_BYTES: usize = 256 * 1024;

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Of the form of this file.
    pub(crate) format: u32,
    /// Of the program that made it.
    pub(crate) version: String,
    /// The layout of the store in it.
    pub(crate) schema: u32,
    /// When, as in RFC 3339.
    pub(crate) at: String,
    /// Which relay, as it tells devices.
    pub(crate) relay_id: String,
    pub(crate) parts: Vec<Part>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Below the data folder, with slashes.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// Packs all that is in a folder into a new file, which is on the disk when this returns.
pub(super) fn pack(parts: &Path, to: &Path, at: Timestamp) -> anyhow::Result<()> {
    let relay_id = Store::open(parts, Options::default())?
        .identity()
        .relay_id
        .to_string();
    // Opening it has made files that are empty.
    for journal in graceful_store::JOURNALS {
        fs::remove_file(parts.join(journal)).context("cannot remove a journal that is empty")?;
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
    // Behind it comes what the tail ends with: the zeros of a builder that is done.
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

/// No user, no time: they are nobody's business where the backup lies.
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

/// How a backup ends whose other bytes have this checksum.
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
