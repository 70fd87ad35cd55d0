//! Bytes written to a disk, from `/proc/diskstats` (Documentation/admin-guide/iostats.rst).

use std::path::Path;

/// The unit of diskstats, whatever the disk's sector size.
const SECTOR_BYTES: u64 = 512;

/// A disk, by device number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    major: u64,
    minor: u64,
}

impl Disk {
    /// The disk of a directory; `None` if the system does not provide it.
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

    /// Bytes written since boot by all processes; `None` for a virtual device.
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
