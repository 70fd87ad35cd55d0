//! Files and directories that only their owner can access, and atomic writes.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Creates a private directory and its missing parents. An existing one stays unchanged.
///
/// # Errors
/// Returns the error of the operating system.
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

/// Creates a private directory.
///
/// # Errors
/// Returns the error of the operating system, also if the name exists.
pub fn create_dir_private(folder: &Path) -> io::Result<()> {
    builder().create(folder)
}

/// Creates a private file for writing.
///
/// # Errors
/// Returns the error of the operating system, also if the name exists.
pub fn create_private(file: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)
}

/// Writes a file atomically and durably, and creates its directory. After a crash the file has the
/// old content or the new one.
///
/// # Errors
/// Returns the error of the operating system.
pub fn atomic_write(file: &Path, content: &[u8]) -> io::Result<()> {
    let folder = file.parent().ok_or(io::ErrorKind::InvalidInput)?;
    create_dir_all_private(folder)?;
    let fresh = fresh(file);
    // A leftover of a crash may have other permissions, so it is replaced.
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

/// The temporary file that replaces the target.
fn fresh(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".new");
    name.into()
}

/// Reads a file; `None` if it does not exist.
///
/// # Errors
/// Returns the error of the operating system.
pub fn read_optional(file: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(file) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Syncs the content of a file.
///
/// # Errors
/// Returns the error of the operating system.
pub fn sync_file(file: &Path) -> io::Result<()> {
    // Windows syncs only files opened for writing.
    OpenOptions::new().write(true).open(file)?.sync_all()
}

/// Syncs the names in a directory.
///
/// # Errors
/// Returns the error of the operating system.
pub fn sync_dir(folder: &Path) -> io::Result<()> {
    // Other systems cannot sync a directory.
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
