//! Resource usage of this process, from `/proc/self` on Linux.

/// File descriptors that a relay needs beside its connections.
pub(crate) const RESERVED_FILES: u64 = 64;

/// Clock ticks a second in `/proc` (USER_HZ), fixed on Linux.
const TICKS_PER_S: f64 = 100.0;

/// The resource usage at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ProcessStats {
    /// User and system CPU time of all threads.
    pub cpu_s: f64,
    /// Resident memory.
    pub memory_bytes: u64,
    /// Open file descriptors, sockets included.
    pub open_files: u64,
    /// The limit of open file descriptors; `None` if unlimited or unknown.
    pub open_files_max: Option<u64>,
    /// Threads.
    pub threads: u64,
}

impl ProcessStats {
    /// Reads the usage of this process; `None` where the system does not provide it.
    pub fn current() -> Option<Self> {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).ok();
        Self::from(
            &read("stat")?,
            &read("status")?,
            &read("limits").unwrap_or_default(),
            open_files(),
        )
    }

    fn from(stat: &str, status: &str, limits: &str, open_files: u64) -> Option<Self> {
        // The program's name comes first and may contain blanks and parentheses.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
        let line = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))?
                .split_whitespace()
                .next()
        };
        let limit = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"));
        Some(Self {
            cpu_s: (ticks(11)? + ticks(12)?) / TICKS_PER_S,
            memory_bytes: line("VmRSS:")?.parse::<u64>().ok()? * 1024,
            open_files,
            open_files_max: limit.and_then(|limit| limit.split_whitespace().next()?.parse().ok()),
            threads: line("Threads:")?.parse().ok()?,
        })
    }
}

fn open_files() -> u64 {
    std::fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64)
}

/// Returns the bytes that this process caused to be written to disks.
pub fn written_bytes() -> Option<u64> {
    let counts = std::fs::read_to_string("/proc/self/io").ok()?;
    let count = |name: &str| {
        counts
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
    };
    Some(count("write_bytes:")?.saturating_sub(count("cancelled_write_bytes:").unwrap_or(0)))
}

/// Returns the limit of open file descriptors.
#[cfg(unix)]
pub fn open_files_max() -> Option<u64> {
    Some(
        rustix::process::getrlimit(rustix::process::Resource::Nofile)
            .current
            .unwrap_or(u64::MAX),
    )
}

/// Returns the limit of open file descriptors.
#[cfg(not(unix))]
pub fn open_files_max() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_stats_are_parsed_from_proc() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4 1 0 0 0 150 50 0 0 20 0 9 0 1 2 3";
        let status = "Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t9\n";
        let limits = "Max open files            1024                 524288               files\n";
        let read = ProcessStats::from(stat, status, limits, 5).expect("read");
        let expected = ProcessStats {
            cpu_s: 2.0,
            memory_bytes: 2 << 20,
            open_files: 5,
            open_files_max: Some(1024),
            threads: 9,
        };
        assert_eq!(read, expected);
        assert_eq!(ProcessStats::from("", status, limits, 5), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn process_stats_of_this_process_are_positive() {
        let process = ProcessStats::current().expect("Linux says it");
        assert!(process.memory_bytes > 1 << 20 && process.threads > 0 && process.open_files > 2);
    }
}
