//! The uptime log on disk: one JSON record per line, appended, and compacted now and then.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use graceful_rules::uptime::{CLOCK_SET_MS, Record, compact};

use super::FOLDER;

/// The file name.
const FILE: &str = "ledger.jsonl";

/// Days that are retained.
const DAYS_MAX: usize = 400;

/// Lines other than days, about a month of hours. More are compacted to days.
const LINES_MAX: usize = 800;

/// Bytes that are read: far more than the maximum of days and lines.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The uptime log cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} the uptime log {}: {error}", path.display())]
pub struct UptimeLogError {
    doing: &'static str,
    path: PathBuf,
    error: io::Error,
}

/// The uptime log.
#[derive(Debug)]
pub struct UptimeLog {
    folder: PathBuf,
    records: Vec<Record>,
    planned_stop_max_ms: i64,
    /// Whether a failed write left the file incomplete: the next write rewrites it.
    lacking: bool,
}

impl UptimeLog {
    /// Reads the log, which may be missing. A torn line is skipped.
    ///
    /// # Errors
    /// [`UptimeLogError`]
    pub fn read(data: &Path, planned_stop_max_ms: i64) -> Result<Self, UptimeLogError> {
        use io::Read;
        let folder = data.join(FOLDER);
        let path = folder.join(FILE);
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(UptimeLogError {
                    doing: "read",
                    path,
                    error,
                });
            }
            _ => {}
        }
        let lines = bytes.split(|byte| *byte == b'\n');
        let records = lines
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect();
        Ok(Self {
            folder,
            records,
            planned_stop_max_ms,
            lacking: false,
        })
    }

    /// Creates an empty log, if the old one cannot be read.
    pub(super) fn empty(data: &Path, planned_stop_max_ms: i64) -> Self {
        Self {
            folder: data.join(FOLDER),
            records: Vec::new(),
            planned_stop_max_ms,
            lacking: false,
        }
    }

    /// Returns the records.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Returns how long a planned stop may last, in milliseconds.
    pub fn planned_stop_max_ms(&self) -> i64 {
        self.planned_stop_max_ms
    }

    /// Starts a run and compacts earlier runs to days.
    pub(super) fn begin(&mut self, started: Record) -> Result<(), UptimeLogError> {
        self.records = compact(&self.records, self.planned_stop_max_ms);
        self.records.push(started);
        self.rewrite()
    }

    /// Appends a record durably.
    pub(super) fn add(&mut self, record: Record) -> Result<(), UptimeLogError> {
        self.records.push(record);
        let days = self
            .records
            .iter()
            .filter(|record| matches!(record, Record::DaySummary { .. }))
            .count();
        if self.lacking {
            return self.rewrite();
        }
        if self.records.len() - days > LINES_MAX {
            self.records = compact(&self.records, self.planned_stop_max_ms);
            return self.rewrite();
        }
        let path = self.folder.join(FILE);
        let line = line(self.records.last().into_iter());
        let written = OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| {
                file.write_all(&line)?;
                file.sync_data()
            });
        self.lacking = written.is_err();
        written.map_err(|error| UptimeLogError {
            doing: "write",
            path,
            error,
        })
    }

    /// Rewrites the file atomically.
    fn rewrite(&mut self) -> Result<(), UptimeLogError> {
        self.forget();
        let path = self.folder.join(FILE);
        let written = graceful_fs_util::atomic_write(&path, &line(self.records.iter()));
        self.lacking = written.is_err();
        written.map_err(|error| UptimeLogError {
            doing: "write",
            path,
            error,
        })
    }

    /// Retains the newest records of days, by the order in which they were written: a wrong clock
    /// may have dated some in the future.
    fn forget(&mut self) {
        let set = |record: &Record| match record {
            Record::DaySummary { day, .. } => *day * graceful_rules::uptime::DAY_MS >= CLOCK_SET_MS,
            _ => true,
        };
        self.records.retain(set);
        let days = self
            .records
            .iter()
            .filter(|record| matches!(record, Record::DaySummary { .. }))
            .count();
        let mut surplus = days.saturating_sub(DAYS_MAX);
        self.records.retain(|record| {
            let goes = surplus > 0 && matches!(record, Record::DaySummary { .. });
            surplus -= usize::from(goes);
            !goes
        });
    }
}

fn line<'a>(records: impl Iterator<Item = &'a Record>) -> Vec<u8> {
    // A torn line must not swallow the next one.
    let mut lines = vec![b'\n'];
    for record in records {
        // Numbers and text always serialize.
        lines.extend(serde_json::to_vec(record).unwrap_or_default());
        lines.push(b'\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use graceful_rules::latency::Latency;
    use graceful_rules::uptime::{ClockReading, days};

    const HOUR_MS: u64 = 3_600_000;

    fn at(hours: u64) -> ClockReading {
        let wall_ms = CLOCK_SET_MS + i64::try_from(hours * HOUR_MS).expect("small");
        ClockReading {
            boot: "a".to_owned(),
            clock_ms: hours * HOUR_MS,
            wall_ms,
            relay_ms: 0,
        }
    }

    fn hour(hours: u64) -> Record {
        let (latency, outages) = (Latency::default(), Vec::new());
        Record::Interval {
            at: at(hours),
            lasted_ms: HOUR_MS,
            latency,
            outages,
        }
    }

    #[test]
    fn what_was_noted_is_there_after_a_crash_that_cut_a_line_off() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut uptime_log = UptimeLog::read(folder.path(), 0).expect("none yet");
        uptime_log
            .begin(Record::Started { at: at(0) })
            .expect("written");
        uptime_log.add(hour(1)).expect("written");
        let path = folder.path().join(FOLDER).join(FILE);
        let mut file = OpenOptions::new().append(true).open(&path).expect("there");
        file.write_all(b"\n{\"record\":\"folded\",\"at\":{\"bo")
            .expect("half a line");
        let mut again = UptimeLog::read(folder.path(), 0).expect("readable");
        assert_eq!(again.records(), uptime_log.records());
        again.add(hour(2)).expect("written");
        assert_eq!(
            UptimeLog::read(folder.path(), 0)
                .expect("readable")
                .records()
                .len(),
            3
        );
    }

    #[test]
    fn what_could_not_be_written_is_written_with_what_comes_next() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut uptime_log = UptimeLog::empty(folder.path(), 0);
        // A file in place of the directory.
        std::fs::write(folder.path().join(FOLDER), "x").expect("written");
        uptime_log
            .begin(Record::Started { at: at(0) })
            .expect_err("no folder");
        std::fs::remove_file(folder.path().join(FOLDER)).expect("ours");
        uptime_log.add(hour(1)).expect("written");
        assert_eq!(
            UptimeLog::read(folder.path(), 0)
                .expect("readable")
                .records(),
            uptime_log.records()
        );
    }

    #[test]
    fn the_file_stays_small_however_long_the_relay_runs() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut uptime_log = UptimeLog::read(folder.path(), 0).expect("none yet");
        uptime_log
            .begin(Record::Started { at: at(0) })
            .expect("written");
        let hours = 500 * 24;
        // Without the disk, which is the same each time.
        for number in 1..hours {
            uptime_log.records.push(hour(number));
            if uptime_log.records.len() > LINES_MAX + DAYS_MAX {
                uptime_log.records = compact(&uptime_log.records, 0);
                uptime_log.forget();
            }
        }
        uptime_log.add(hour(hours)).expect("written");
        assert!(
            uptime_log.records().len() <= LINES_MAX + DAYS_MAX + 1,
            "{}",
            uptime_log.records().len()
        );
        let days = days(uptime_log.records(), 0, None);
        let newest = days.last_key_value().expect("some").0;
        assert_eq!(*newest, CLOCK_SET_MS / 86_400_000 + 500);
        assert!(
            days.range(newest - 300..newest - 1)
                .all(|(_, day)| day.up_ms == 86_400_000)
        );
    }
}
