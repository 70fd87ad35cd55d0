//! The change log: every change this device made or received, in plaintext in `log.jsonl` of the
//! profile, readable by its owner only. New devices get snapshots of it. It contains each change
//! once, by sender and push number.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::format::{self, LogLine, OwnNames};
use graceful_client::{Change, ChangeKind, Client, Position};
use graceful_protocol::DeviceKey;

type Numbers = BTreeMap<DeviceKey, BTreeSet<u64>>;

/// The open log and an index of its changes.
pub(super) struct Log {
    path: PathBuf,
    file: File,
    /// Changes from the relay or this device, and changes from snapshots.
    live: Numbers,
    from_snapshot: Numbers,
    snapshots: Vec<Position>,
    unwritten: String,
}

/// Returns the log's path.
pub(super) fn path(profile_dir: &Path) -> PathBuf {
    profile_dir.join("log.jsonl")
}

fn contains(numbers: &Numbers, sender: &DeviceKey, number: u64) -> bool {
    numbers
        .get(sender)
        .is_some_and(|numbers| numbers.contains(&number))
}

impl Log {
    /// Opens or creates the log and adds own changes that a crash kept out of it. A torn last line
    /// is dropped.
    pub(super) async fn open(profile_dir: &Path, client: &Client) -> anyhow::Result<Self> {
        let path = path(profile_dir);
        let mut log = tokio::task::block_in_place(|| Self::read(&path))
            .with_context(|| format!("cannot use {}", path.display()))?;
        log.catch_up(client).await?;
        Ok(log)
    }

    fn read(path: &Path) -> std::io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        let (mut live, mut from_snapshot, mut snapshots) =
            (Numbers::new(), Numbers::new(), Vec::new());
        let whole_bytes = each_line(&mut file, |line| {
            let Some((sender, entry)) = LogLine::read(line) else {
                return;
            };
            let snapshot = entry.snapshot();
            let numbers = if snapshot.is_some() {
                &mut from_snapshot
            } else {
                &mut live
            };
            numbers.entry(sender).or_default().insert(entry.push_number);
            snapshots.extend(snapshot.filter(|snapshot| !snapshots.contains(snapshot)));
        })?;
        if whole_bytes < file.metadata()?.len() {
            file.set_len(whole_bytes)?;
            file.sync_all()?;
        }
        file.seek(SeekFrom::Start(whole_bytes))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            live,
            from_snapshot,
            snapshots,
            unwritten: String::new(),
        })
    }

    async fn catch_up(&mut self, client: &Client) -> anyhow::Result<()> {
        let device = client.status().device;
        let last = |numbers: &Numbers| numbers.get(&device).and_then(BTreeSet::last).copied();
        let last = last(&self.live).max(last(&self.from_snapshot)).unwrap_or(0);
        let (numbers, changes): (Vec<_>, Vec<_>) =
            client.retained_changes(last).await?.into_iter().unzip();
        self.add_own(client, &numbers, &changes)
    }

    /// Adds own changes under the numbers of their receipt and syncs them to disk.
    pub(super) fn add_own(
        &mut self,
        client: &Client,
        numbers: &[u64],
        changes: &[Change],
    ) -> anyhow::Result<()> {
        let status = client.status();
        let this = status.devices.iter().find(|device| device.this);
        for (number, change) in numbers
            .iter()
            .zip(changes)
            .filter(|(_, change)| is_for_all(change))
        {
            let names = OwnNames {
                device_name: this.and_then(|device| device.name.as_deref()),
                device_id: &status.device_id,
                transaction_id: &change.transaction_id,
            };
            let line = format::own(&status.device, *number, names, &change.content);
            self.add(status.device, *number, &line);
        }
        self.sync()
    }

    /// Returns whether the log has a change that did not come from a snapshot.
    pub(super) fn has_live(&self, sender: &DeviceKey, number: u64) -> bool {
        contains(&self.live, sender, number)
    }

    /// Returns whether the log has a change from a snapshot.
    pub(super) fn has_from_snapshot(&self, sender: &DeviceKey, number: u64) -> bool {
        contains(&self.from_snapshot, sender, number)
    }

    /// Adds a line if its change is new; [`Log::sync`] writes it.
    pub(super) fn add(&mut self, sender: DeviceKey, number: u64, line: &str) {
        if !self.has_from_snapshot(&sender, number)
            && self.live.entry(sender).or_default().insert(number)
        {
            self.put(line);
        }
    }

    /// Adds the new changes of a snapshot. Returns the lines that this snapshot added, now or
    /// before a crash.
    pub(super) fn add_snapshot(
        &mut self,
        snapshot: &Position,
        lines: &str,
    ) -> anyhow::Result<SnapshotLines> {
        let mut added = SnapshotLines::default();
        if self.snapshots.contains(snapshot) {
            added.lines = self.lines_of(snapshot)?;
        } else {
            self.snapshots.push(*snapshot);
        }
        for line in lines.lines().filter(|line| !line.is_empty()) {
            let Some((sender, entry)) = LogLine::read(line) else {
                added.unreadable += 1;
                continue;
            };
            let number = entry.push_number;
            if !self.has_live(&sender, number)
                && self.from_snapshot.entry(sender).or_default().insert(number)
            {
                let line = entry.with_snapshot(snapshot);
                self.put(&line);
                added.lines.push(line);
            }
        }
        Ok(added)
    }

    fn put(&mut self, line: &str) {
        self.unwritten.push_str(line);
        self.unwritten.push('\n');
    }

    /// Syncs all added lines to disk.
    pub(super) fn sync(&mut self) -> anyhow::Result<()> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let text = std::mem::take(&mut self.unwritten);
        let written = self
            .file
            .write_all(text.as_bytes())
            .and_then(|()| self.file.sync_data());
        written.with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn lines_of(&self, snapshot: &Position) -> anyhow::Result<Vec<String>> {
        let mut lines = Vec::new();
        self.each(|line| {
            if LogLine::read(line)
                .and_then(|(_, entry)| entry.snapshot())
                .as_ref()
                == Some(snapshot)
            {
                lines.push(line.to_owned());
            }
        })?;
        Ok(lines)
    }

    /// Calls `what` for every line on disk.
    pub(super) fn each(&self, what: impl FnMut(&str)) -> anyhow::Result<()> {
        let mut reading = File::open(&self.path)
            .with_context(|| format!("cannot read {}", self.path.display()))?;
        each_line(&mut reading, what)
            .with_context(|| format!("cannot read {}", self.path.display()))?;
        Ok(())
    }
}

/// The changes added by a snapshot.
#[derive(Debug, Default)]
pub(super) struct SnapshotLines {
    pub(super) lines: Vec<String>,
    /// Lines that are not changes.
    pub(super) unreadable: u64,
}

/// Changes for one device are not given to another.
fn is_for_all(change: &Change) -> bool {
    change.kind == ChangeKind::Change && change.recipient.is_none()
}

/// Calls `what` for each complete line. Returns their size in bytes.
fn each_line(file: &mut File, mut what: impl FnMut(&str)) -> std::io::Result<u64> {
    file.seek(SeekFrom::Start(0))?;
    let (mut reader, mut line, mut whole_bytes) = (BufReader::new(file), Vec::new(), 0);
    loop {
        line.clear();
        let bytes = reader.read_until(b'\n', &mut line)?;
        let Some(text) = line.strip_suffix(b"\n") else {
            return Ok(whole_bytes);
        };
        whole_bytes += bytes as u64;
        if let Ok(text) = std::str::from_utf8(text) {
            what(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use graceful_protocol::StoreEpoch;

    fn position(seq: u64) -> Position {
        let (store_epoch, sender) = (StoreEpoch::new([1; 16]), DeviceKey::new([9; 32]));
        Position {
            store_epoch,
            seq,
            sender,
            push_number: seq,
        }
    }

    fn own_line(number: u64) -> String {
        let names = OwnNames {
            device_name: None,
            device_id: "d",
            transaction_id: "t",
        };
        format::own(&DeviceKey::new([2; 32]), number, names, b"{\"a\":1}")
    }

    #[test]
    fn snapshot_adds_missing_changes_once_over_crashes() {
        let profile_dir = tempfile::tempdir().unwrap();
        let path = path(profile_dir.path());
        let sender = DeviceKey::new([2; 32]);
        let mut log = Log::read(&path).unwrap();
        log.add(sender, 2, &own_line(2));
        log.sync().unwrap();
        let before = std::fs::metadata(&path).unwrap().len() as usize;
        let snapshot = (1..=4)
            .map(|number| own_line(number) + "\n")
            .collect::<String>()
            + "no line\n";
        let added = log.add_snapshot(&position(7), &snapshot).unwrap();
        assert_eq!((added.lines.len(), added.unreadable), (3, 1));
        log.sync().unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in (before..=whole.len()).step_by(7).chain([whole.len()]) {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut log = Log::read(&path).unwrap();
            let again = log.add_snapshot(&position(7), &snapshot).unwrap();
            assert_eq!(again.lines, added.lines, "cut at {cut}");
            log.sync().unwrap();
            assert!(std::fs::read(&path).unwrap() == whole, "cut at {cut}");
            let other = log.add_snapshot(&position(8), &snapshot).unwrap();
            assert!(
                other.lines.is_empty(),
                "another snapshot brings nothing new"
            );
        }
    }

    #[test]
    fn snapshot_change_is_not_logged_again() {
        let profile_dir = tempfile::tempdir().unwrap();
        let path = path(profile_dir.path());
        let sender = DeviceKey::new([2; 32]);
        let mut log = Log::read(&path).unwrap();
        log.add_snapshot(&position(7), &own_line(1)).unwrap();
        log.add(sender, 1, &own_line(1));
        log.sync().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
        let log = Log::read(&path).unwrap();
        assert!(log.has_from_snapshot(&sender, 1) && !log.has_live(&sender, 1));
    }
}
