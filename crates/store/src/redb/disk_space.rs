//! Free space on the disk, and a ballast to release when there is none.
//!
//! On a full disk even a deletion fails: redb writes new pages before it frees old ones. So some bytes are
//! reserved while there is space. They are released if the store is opened on a full disk, and reserved again
//! later.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use fs4::FileExt;
use graceful_rules::disk_space::{is_low, reusable_bytes};

use super::files::{BALLAST, FILE};

/// Bytes written at a time where the file system cannot reserve space.
const CHUNK_BYTES: usize = 64 * 1024;

/// The disk of the data directory.
#[derive(Debug)]
pub(crate) struct DiskSpace {
    data_dir: PathBuf,
    pub(crate) free_bytes_min: u64,
    ballast_bytes: u64,
}

impl DiskSpace {
    pub(crate) fn new(data_dir: &Path, free_bytes_min: u64, ballast_bytes: u64) -> Self {
        Self {
            data_dir: data_dir.to_path_buf(),
            free_bytes_min,
            ballast_bytes,
        }
    }

    /// Returns the bytes still free for this user; `None` if the system does not say.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        fs4::available_space(&self.data_dir).ok()
    }

    /// Returns the allocated bytes of the database file, which may have holes.
    pub(crate) fn file_bytes(&self) -> u64 {
        File::open(self.data_dir.join(FILE))
            .and_then(|file| file.allocated_size())
            .unwrap_or(0)
    }

    /// Whether the disk is nearly full and the free pages in the database file are used up as well.
    pub(crate) fn is_low(&self, stored_bytes: u64) -> bool {
        let free_bytes = self.free_bytes().unwrap_or(u64::MAX);
        free_bytes < self.free_bytes_min
            && is_low(
                free_bytes,
                self.free_bytes_min,
                reusable_bytes(self.file_bytes(), stored_bytes),
            )
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    fn ballast(&self) -> PathBuf {
        self.data_dir.join(BALLAST)
    }

    /// Removes the ballast if fewer bytes are free than it has.
    pub(crate) fn release_ballast_if_full(&self) {
        let full = self
            .free_bytes()
            .is_some_and(|free_bytes| free_bytes < self.ballast_bytes);
        if full && std::fs::remove_file(self.ballast()).is_ok() {
            tracing::warn!(
                "the disk is full: the ballast was released, so that acks and deletions can free space"
            );
        }
    }

    /// Reserves the ballast if there is none and enough space stays free.
    pub(crate) fn allocate_ballast(&self) -> io::Result<()> {
        let needed = self
            .free_bytes_min
            .max(self.ballast_bytes)
            .saturating_add(self.ballast_bytes);
        let enough = self
            .free_bytes()
            .is_some_and(|free_bytes| free_bytes >= needed);
        if self.ballast_bytes == 0 || !enough || self.ballast().exists() {
            return Ok(());
        }
        let reserved = reserve(&self.ballast(), self.ballast_bytes);
        if reserved.is_err() {
            // A partial ballast would count as a whole one.
            let _ = std::fs::remove_file(self.ballast());
        }
        reserved
    }
}

fn reserve(path: &Path, bytes: u64) -> io::Result<()> {
    let file = File::create_new(path)?;
    if file.allocate(bytes).is_err() {
        fill(&file, bytes)?;
    }
    file.sync_all()
}

/// Fills a file with random bytes, which no file system compresses.
fn fill(mut file: &File, bytes: u64) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut left = bytes;
    while left > 0 {
        let size = left.min(CHUNK_BYTES as u64);
        let part = &mut chunk[..usize::try_from(size).expect("at most a chunk")];
        getrandom::fill(part).map_err(io::Error::other)?;
        file.write_all(part)?;
        left -= size;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ballast_is_allocated_once_and_kept() {
        let data_dir = tempfile::tempdir().expect("a directory");
        let disk_space = DiskSpace::new(data_dir.path(), 0, 256 * 1024);
        disk_space.allocate_ballast().expect("room");
        assert_eq!(
            std::fs::metadata(disk_space.ballast()).expect("laid").len(),
            256 * 1024
        );
        disk_space.allocate_ballast().expect("there already");
        disk_space.release_ballast_if_full();
        assert!(disk_space.ballast().exists(), "this disk is not full");
    }

    #[test]
    fn ballast_leaves_the_minimum_free() {
        let data_dir = tempfile::tempdir().expect("a directory");
        DiskSpace::new(data_dir.path(), 1 << 60, 1024)
            .allocate_ballast()
            .expect("nothing to do");
        DiskSpace::new(data_dir.path(), 0, 0)
            .allocate_ballast()
            .expect("nothing to do");
        assert!(!data_dir.path().join(BALLAST).exists());
    }

    #[test]
    fn ballast_is_released_on_a_full_disk() {
        let data_dir = tempfile::tempdir().expect("a directory");
        let disk_space = DiskSpace::new(data_dir.path(), 0, 1 << 60);
        std::fs::write(disk_space.ballast(), b"heavy").expect("written");
        disk_space.release_ballast_if_full();
        assert!(!disk_space.ballast().exists());
    }

    #[test]
    fn ballast_without_fallocate_is_filled() {
        let data_dir = tempfile::tempdir().expect("a directory");
        let path = data_dir.path().join(BALLAST);
        fill(&File::create_new(&path).expect("a file"), 100_000).expect("filled");
        let bytes = std::fs::read(&path).expect("filled");
        assert_eq!(bytes.len(), 100_000);
        assert!(
            bytes
                .windows(64)
                .all(|window| window.iter().any(|byte| *byte != window[0]))
        );
    }
}
