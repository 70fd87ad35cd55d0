//! What this process takes of the machine, as Linux says it in `/proc/self`. Elsewhere nothing is known.

/// Ticks of the processor's time in a second: fixed for what Linux shows to programs (USER_HZ).
const TICKS_PER_S: f64 = 100.0;

/// A picture of one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Process {
    /// Time on the processor since the start, in seconds, of all threads.
    pub cpu_s: f64,
    /// Memory that is really there, in bytes.
    pub memory_bytes: u64,
    /// Open files, sockets among them.
    pub open_files: u64,
    /// How many may be open; `None`: no limit is known.
    pub open_files_max: Option<u64>,
    /// Threads.
    pub threads: u64,
}

impl Process {
    /// This one.
    pub fn of_this() -> Option<Self> {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).ok();
        Self::from(
            &read("stat")?,
            &read("status")?,
            &read("limits").unwrap_or_default(),
            open_files(),
        )
    }

    fn from(stat: &str, status: &str, limits: &str, open_files: u64) -> Option<Self> {
        // The program's name comes before and may hold anything, also blanks and brackets.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_says_is_read() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4 1 0 0 0 150 50 0 0 20 0 9 0 1 2 3";
        let status = "Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t9\n";
        let limits = "Max open files            1024                 524288               files\n";
        let read = Process::from(stat, status, limits, 5).expect("read");
        let expected = Process {
            cpu_s: 2.0,
            memory_bytes: 2 << 20,
            open_files: 5,
            open_files_max: Some(1024),
            threads: 9,
        };
        assert_eq!(read, expected);
        assert_eq!(Process::from("", status, limits, 5), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_takes_something() {
        let process = Process::of_this().expect("Linux says it");
        assert!(process.memory_bytes > 1 << 20 && process.threads > 0 && process.open_files > 2);
    }
}
