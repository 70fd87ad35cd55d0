//! Resource usage of a local process, from `/proc` (proc(5)).

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::disk::Disk;

/// Clock ticks per second of processor time, `USER_HZ` on common architectures.
const TICKS_PER_S: u64 = 100;

/// A process and its descendants.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    id: u32,
    disk: Option<Disk>,
}

/// Resources used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Used {
    /// Processor time, in microseconds.
    pub cpu_us: u64,
    /// Resident memory in bytes.
    pub resident_bytes: u64,
    /// Peak resident memory in bytes.
    pub resident_bytes_max: u64,
    /// Bytes written to disk.
    pub written_bytes: u64,
    /// Threads.
    pub threads: u64,
}

/// One line of `/proc/ID/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// In whole ticks.
    cpu_us: u64,
    /// Of children that ended, in whole ticks.
    children_us: u64,
    threads: u64,
}

impl Process {
    /// By its id.
    pub fn new(id: u32) -> Self {
        Self { id, disk: None }
    }

    /// Counts the bytes that the disk of this directory writes for all processes, instead of `write_bytes`
    /// of the process. The latter counts whole large folios of which a few kilobytes are written.
    #[must_use]
    pub fn on_disk_of(self, folder: &Path) -> Self {
        Self {
            disk: Disk::under(folder),
            ..self
        }
    }

    /// Usage of the process and its descendants so far; `None` if the system does not provide it.
    pub fn used(self) -> Option<Used> {
        let mut used = Used::default();
        for id in self.family()? {
            // One that ended meanwhile is counted by its parent.
            used.add(id);
        }
        self.count_disk(&mut used);
        Some(used)
    }

    /// The same of the process alone.
    pub fn used_alone(self) -> Used {
        let mut used = Used::default();
        used.add(self.id);
        self.count_disk(&mut used);
        used
    }

    fn count_disk(self, used: &mut Used) {
        if let Some(bytes) = self.disk.and_then(Disk::written_bytes) {
            used.written_bytes = bytes;
        }
    }

    /// The process itself and its descendants.
    fn family(self) -> Option<Vec<u32>> {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        let mut found = false;
        for entry in fs::read_dir("/proc").ok()?.flatten() {
            let Some(id) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            found |= id == self.id;
            if let Some(stat) = read(id, "stat").and_then(|text| Stat::parse(&text)) {
                children.entry(stat.parent).or_default().push(id);
            }
        }
        let mut family = if found { vec![self.id] } else { return None };
        let mut next = 0;
        while next < family.len() {
            family.extend(children.remove(&family[next]).unwrap_or_default());
            next += 1;
        }
        Some(family)
    }
}

impl Used {
    fn add(&mut self, id: u32) {
        if let Some(stat) = read(id, "stat").and_then(|text| Stat::parse(&text)) {
            // Of a process with one thread the scheduler tells it to the nanosecond. Where a thousand of them
            // share the work, ticks of each would come to nothing.
            let fine = read(id, "schedstat").filter(|_| stat.threads == 1);
            let fine_ns = fine.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
            self.cpu_us += fine_ns.map_or(stat.cpu_us, |ns| ns / 1_000) + stat.children_us;
            self.threads += stat.threads;
        }
        if let Some(text) = read(id, "status") {
            let kib = |name| number_after(&text, name).unwrap_or(0);
            // What several processes share is counted once, with the first that has it.
            let shared = if self.resident_bytes == 0 {
                0
            } else {
                kib("RssFile:") + kib("RssShmem:")
            };
            self.resident_bytes += (kib("VmRSS:") - shared.min(kib("VmRSS:"))) * 1024;
            self.resident_bytes_max += (kib("VmHWM:") - shared.min(kib("VmHWM:"))) * 1024;
        }
        if let Some(text) = read(id, "io") {
            self.written_bytes += number_after(&text, "\nwrite_bytes:").unwrap_or(0);
        }
    }

    /// Usage since `before`; memory is the current one.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            cpu_us: self.cpu_us.saturating_sub(before.cpu_us),
            written_bytes: self.written_bytes.saturating_sub(before.written_bytes),
            ..*self
        }
    }

    /// Busy processors over this time.
    pub fn processors(&self, time: Duration) -> f64 {
        self.cpu_us as f64 / 1e6 / time.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

impl Stat {
    /// The name, in parentheses, may itself hold spaces and parentheses.
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.rsplit_once(')')?;
        let fields: Vec<_> = rest.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let us = |ticks: u64| ticks * 1_000_000 / TICKS_PER_S;
        Some(Self {
            parent: field(4)?.try_into().ok()?,
            // User and system time.
            cpu_us: us(field(14)? + field(15)?),
            children_us: us(field(16)? + field(17)?),
            threads: field(20)?,
        })
    }
}

fn read(id: u32, file: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/{id}/{file}")).ok()
}

fn number_after(text: &str, name: &str) -> Option<u64> {
    text.split_once(name)?
        .1
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_whatever_the_name_is() {
        let line = "77 (a (b) c) S 12 77 77 0 -1 4194560 1 2 3 4 150 50 7 3 20 0 9 0 100 200 300";
        assert_eq!(
            Stat::parse(line),
            Some(Stat {
                parent: 12,
                cpu_us: 2_000_000,
                children_us: 100_000,
                threads: 9
            })
        );
        assert_eq!(Stat::parse("77 (short) S 1"), None);
        assert_eq!(
            number_after("rchar: 1\nwrite_bytes: 4096\n", "\nwrite_bytes:"),
            Some(4_096)
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_memory_and_has_children() {
        let used = Process::new(std::process::id())
            .used()
            .expect("it is there");
        assert!(
            used.resident_bytes > 1 << 20 && used.threads >= 1,
            "{used:?}"
        );
        assert_eq!(Process::new(u32::MAX).used(), None);
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("sleep is there");
        let family = Process::new(std::process::id())
            .family()
            .expect("it is there");
        assert!(family.contains(&child.id()));
        child.kill().expect("ours");
        child.wait().expect("ends");
    }
}
