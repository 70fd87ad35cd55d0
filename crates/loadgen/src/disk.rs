//! What a disk has written, as Linux tells it in `/proc/diskstats` (Documentation/admin-guide/iostats.rst).

use std::path::Path;

/// A sector there, whatever the disk's own are.
const SECTOR_BYTES: u64 = 512;

/// A disk, by its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    major: u64,
    minor: u64,
}

impl Disk {
    /// The one that a folder is on; `None` where the system does not tell.
    pub fn under(folder: &Path) -> Option<Self> {
        #[cfg(target_os = "linux")]
        {
            use std::os::unix::fs::MetadataExt;
            let device = std::fs::metadata(folder).ok()?.dev();
            let (major, minor) = (
                rustix::fs::major(device).into(),
                rustix::fs::minor(device).into(),
            );
            Some(Self { major, minor })
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = folder;
            None
        }
    }

    /// Bytes that it has written since the system was started, for everybody; `None` where it is not a disk
    /// of its own.
    pub fn written_bytes(self) -> Option<u64> {
        self.find(&std::fs::read_to_string("/proc/diskstats").ok()?)
    }

    fn find(self, text: &str) -> Option<u64> {
        text.lines().find_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let ours =
                words.first()?.parse() == Ok(self.major) && words.get(1)?.parse() == Ok(self.minor);
            let sectors = words.get(9).filter(|_| ours)?.parse::<u64>().ok()?;
            Some(sectors * SECTOR_BYTES)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_found_by_both_numbers() {
        let text = "   7       0 loop0 9 0 9 9 9 9 9 9 0 0 0\n 254       0 vda 1 2 3 4 5 6 1000 8 0 9 10\n";
        assert_eq!(
            Disk {
                major: 254,
                minor: 0
            }
            .find(text),
            Some(512_000)
        );
        assert_eq!(
            Disk {
                major: 254,
                minor: 1
            }
            .find(text),
            None
        );
    }
}
