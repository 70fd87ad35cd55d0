//! Files and folders for their owner alone, and files that are replaced whole or not at all.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Makes a folder and those above it that are missing. One that is there already stays as it is.
///
/// # Errors
/// What the system says.
pub fn create_dir_all_private(folder: &Path) -> io::Result<()> {
    builder().recursive(true).create(folder)
}

fn builder() -> DirBuilder {
    #[cfg_attr(
        not(unix),
        expect(unused_mut, reason = "other systems have no such modes")
    )]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// A new folder.
///
/// # Errors
/// What the system says, also that something of this name is there.
pub fn create_dir_private(folder: &Path) -> io::Result<()> {
    builder().create(folder)
}

/// A new file, to write.
///
/// # Errors
/// What the system says, also that something of this name is there.
pub fn create_private(file: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)
}

/// Puts this content into a file, and makes its folder where there is none. After a crash at any snapshot it
/// is the old content or the new one; when this returns, it is on the disk.
///
/// # Errors
/// What the system says.
pub fn atomic_write(file: &Path, content: &[u8]) -> io::Result<()> {
    let folder = file.parent().ok_or(io::ErrorKind::InvalidInput)?;
    create_dir_all_private(folder)?;
    let fresh = fresh(file);
    // What a crash left there may have other rights: it is not written into, but made anew.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut new = create_private(&fresh)?;
    new.write_all(content)?;
    new.sync_all()?;
    fs::rename(&fresh, file)?;
    sync_dir(folder)
}

/// What is written before it takes the place of a file.
fn fresh(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".new");
    name.into()
}

/// What is in a file, or `None` where there is none.
///
/// # Errors
/// What the system says.
pub fn read_optional(file: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(file) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes last what is in a file.
///
/// # Errors
/// What the system says.
pub fn sync_file(file: &Path) -> io::Result<()> {
    // Windows syncs only what may be written to.
    OpenOptions::new().write(true).open(file)?.sync_all()
}

/// Makes names last that were made or changed in it.
///
/// # Errors
/// What the system says.
pub fn sync_dir(folder: &Path) -> io::Result<()> {
    // Other systems have no such thing.
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_the_owner_reads_it_whatever_lay_there_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tls/key.pem");
        atomic_write(&path, b"first").expect("written");
        let left = folder.path().join("tls/key.pem.new");
        fs::write(&left, b"half").expect("left by a crash");
        fs::set_permissions(&left, fs::Permissions::from_mode(0o644)).expect("ours");
        atomic_write(&path, b"second").expect("written");
        assert_eq!(
            read_optional(&path).expect("readable"),
            Some(b"second".to_vec())
        );
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(
            (mode(&path), mode(path.parent().expect("a folder"))),
            (0o600, 0o700)
        );
        assert!(!left.exists());
    }
}
