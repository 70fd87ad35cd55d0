//! The checks of the disk under the data directory: file system, sync latency, free space.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Finding;

#[cfg(target_os = "linux")]
const KIND: &str = "disk";
const SPEED: &str = "disk speed";
const FREE: &str = "free space";

/// Timed syncs, of a page each.
const SYNCS: usize = 8;
const PAGE_BYTES: usize = 4_096;

/// Above this, devices wait noticeably.
const SLOW: Duration = Duration::from_millis(100);

/// No disk that really syncs is this fast.
const TOO_FAST: Duration = Duration::from_micros(8);

/// File systems that are not a local disk, by their magic number (statfs(2)).
#[cfg(target_os = "linux")]
const STRANGE: [(u64, &str); 9] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x0102_1997, "9P"),
    (0x00c3_6400, "Ceph"),
    (0x6573_5546, "FUSE"),
    (0x0102_1994, "memory (tmpfs)"),
    (0x794c_7630, "the layer of a container"),
];

/// Checks the file system.
#[cfg(target_os = "linux")]
fn kind(folder: &Path) -> Option<Finding> {
    let of = rustix::fs::statfs(folder).ok()?;
    let number = u64::try_from(of.f_type).ok()? & 0xffff_ffff;
    let strange = STRANGE.iter().find(|(known, _)| *known == number);
    let finding = match strange.map(|(_, name)| *name) {
        None => Finding::ok(KIND, "a local disk"),
        Some(name @ ("memory (tmpfs)" | "the layer of a container")) => {
            let text = format!("the data directory is on {name}, which is not persistent");
            Finding::warning(
                KIND,
                text,
                "Put it on a disk: storage.data_dir, or a volume.",
            )
        }
        Some(name) => {
            let text = format!("the data directory is on {name}, whose syncs may not be durable");
            Finding::warning(KIND, text, "Put it on a local disk: storage.data_dir.")
        }
    };
    Some(finding)
}

#[cfg(not(target_os = "linux"))]
fn kind(_folder: &Path) -> Option<Finding> {
    None
}

/// Checks the file system and the latency of a sync.
pub fn sync_speed(folder: &Path) -> Vec<Finding> {
    let mut findings: Vec<_> = kind(folder).into_iter().collect();
    findings.push(match time_syncs(folder) {
        Ok(took) => judge(took),
        Err(error) => {
            let text = format!("not measured: cannot write to the data directory: {error}");
            Finding::warning(SPEED, text, "Run this as the relay's user, or with sudo.")
        }
    });
    findings
}

fn judge(took: Duration) -> Finding {
    #[expect(clippy::cast_precision_loss, reason = "shown with two places")]
    let text = format!(
        "a sync takes {:.2} ms (median of {SYNCS})",
        took.as_micros() as f64 / 1_000.0
    );
    if took > SLOW {
        let next = "Every push waits for a sync. Replace a worn SD card, or use a disk.";
        return Finding::warning(SPEED, text, next);
    }
    if took < TOO_FAST {
        let text = text + ", faster than a disk can be: syncs may not be durable";
        return Finding::warning(
            SPEED,
            text,
            "Check whether the disk is configured to ignore syncs.",
        );
    }
    Finding::ok(SPEED, text)
}

/// A file that is removed when dropped.
struct TempFile {
    file: File,
    path: PathBuf,
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn time_syncs(folder: &Path) -> io::Result<Duration> {
    let path = folder.join(format!(".doctor-{}", std::process::id()));
    let mut temp = TempFile {
        file: graceful_fs_util::create_private(&path)?,
        path,
    };
    let mut times = [Duration::ZERO; SYNCS];
    for time in &mut times {
        let started = Instant::now();
        temp.file.write_all(&[0x5a; PAGE_BYTES])?;
        temp.file.sync_data()?;
        *time = started.elapsed();
    }
    times.sort_unstable();
    Ok(times[SYNCS / 2])
}

/// Checks the free space against the minimum.
pub fn free_space(folder: &Path, free_bytes_min: u64) -> Finding {
    let Ok(free) = fs4::available_space(folder) else {
        return Finding::warning(FREE, "unknown", "Check with `df`.");
    };
    let text = format!(
        "{} MB free, minimum {} MB",
        free / 1_000_000,
        free_bytes_min / 1_000_000
    );
    match free {
        free if free < free_bytes_min => Finding::failure(
            FREE,
            text,
            "Free disk space, or lower storage.min_free_space: new envelopes are rejected.",
        ),
        free if free < free_bytes_min.saturating_mul(4) => {
            Finding::warning(FREE, text, "Free disk space soon.")
        }
        _ => Finding::ok(FREE, text),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn what_is_measured_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let findings = sync_speed(folder.path());
        assert!(
            findings
                .iter()
                .any(|finding| finding.check == SPEED && finding.text.contains(" ms "))
        );
        assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 0);
    }

    #[test]
    fn slow_and_unbelievable_disks_are_told() {
        let level = |us| judge(Duration::from_micros(us)).level;
        assert_eq!(
            [1, 50, 5_000, 99_000, 150_000].map(level),
            [
                Level::Warning,
                Level::Ok,
                Level::Ok,
                Level::Ok,
                Level::Warning
            ]
        );
    }

    #[test]
    fn room_is_judged_by_what_has_to_stay_free() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(free_space(folder.path(), 0).level, Level::Ok);
        assert_eq!(free_space(folder.path(), 1 << 60).level, Level::Failure);
    }
}
