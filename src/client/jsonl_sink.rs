//! An append-only JSON Lines file that contains each change exactly once, over crashes. Every line
//! has its position, and the last complete line is the file's progress. Lines from a snapshot have
//! none: they count with the line that closes them.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::format;
use graceful_client::Position;

/// Block size when searching for the last line.
const STEP_BYTES: u64 = 64 * 1024;

/// A file whose last line is complete.
#[derive(Debug)]
pub(super) struct JsonlSink {
    path: PathBuf,
    file: File,
    /// The position to resume after.
    pub(super) applied: Option<Position>,
}

impl JsonlSink {
    /// Opens or creates the file. A torn last line is dropped: its change was not acknowledged and
    /// is delivered again.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        Self::try_open(path).with_context(|| format!("cannot use {}", path.display()))
    }

    fn try_open(path: &Path) -> anyhow::Result<Self> {
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let bytes = file.metadata()?.len();
        let (mut whole_bytes, mut last) = last_line(&mut file, bytes)?;
        if last.as_deref().is_some_and(format::is_from_snapshot) {
            (whole_bytes, last) = last_closed(&mut file)?;
        }
        let applied = match last {
            Some(last) => Some(format::position(&last).context(
                "its last line has no position, so another program wrote it; use another file",
            )?),
            None if !begins_like_a_line(&mut file)? => {
                bail!("this command did not write it; use another file")
            }
            None => None,
        };
        if whole_bytes < bytes {
            file.set_len(whole_bytes)?;
            file.sync_all()?;
        }
        file.seek(SeekFrom::Start(whole_bytes))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            applied,
        })
    }

    /// Appends lines and syncs them to disk.
    pub(super) fn append(&mut self, lines: &[String]) -> anyhow::Result<()> {
        let mut text = String::new();
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        let written = self
            .file
            .write_all(text.as_bytes())
            .and_then(|()| self.file.sync_data());
        written.with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// Returns whether a file without a complete line holds a torn line, or nothing.
fn begins_like_a_line(file: &mut File) -> std::io::Result<bool> {
    file.seek(SeekFrom::Start(0))?;
    let mut begin = Vec::new();
    file.take(16).read_to_end(&mut begin)?;
    let like = |line: &[u8]| line.starts_with(&begin) || begin.starts_with(line);
    Ok(like(b"{\"history\":\"") || like(b"{\"sender\":\""))
}

/// Returns the length through the last line with a position, and that line. A snapshot that a crash
/// interrupted is delivered again.
fn last_closed(file: &mut File) -> std::io::Result<(u64, Option<Vec<u8>>)> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::new(file);
    let (mut at, mut closed, mut line) = (0, (0, None), Vec::new());
    loop {
        line.clear();
        at += reader.read_until(b'\n', &mut line)? as u64;
        let Some(text) = line.strip_suffix(b"\n") else {
            return Ok(closed);
        };
        if !format::is_from_snapshot(text) {
            closed = (at, Some(text.to_owned()));
        }
    }
}

/// Returns the length of the complete lines, and the last one.
fn last_line(file: &mut File, bytes: u64) -> std::io::Result<(u64, Option<Vec<u8>>)> {
    let (mut start, mut tail) = (bytes, Vec::new());
    loop {
        let mut ends = tail
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, byte)| **byte == b'\n')
            .map(|(at, _)| at);
        let (last, before) = (ends.next(), ends.next());
        if let Some(last) = last
            && (before.is_some() || start == 0)
        {
            let line = tail[before.map_or(0, |before| before + 1)..last].to_vec();
            return Ok((start + last as u64 + 1, Some(line)));
        }
        if start == 0 {
            return Ok((0, None));
        }
        let step = STEP_BYTES.min(start);
        start -= step;
        let mut more = vec![0; usize::try_from(step).unwrap_or(0)];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut more)?;
        more.append(&mut tail);
        tail = more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use graceful_client::{ChangeKind, Incoming, Received};
    use graceful_protocol::{DeviceKey, StoreEpoch};

    fn change(seq: u64, bytes: usize) -> Incoming {
        let (store_epoch, sender) = (StoreEpoch::new([1; 16]), DeviceKey::new([2; 32]));
        Incoming::Change(Received {
            position: Position {
                store_epoch,
                seq,
                sender,
                push_number: seq,
            },
            sender_name: None,
            device_id: String::new(),
            transaction_id: String::new(),
            kind: ChangeKind::Change,
            content: vec![b'x'; bytes].into(),
            targeted: false,
        })
    }

    fn json(changes: &[Incoming]) -> Vec<String> {
        changes.iter().map(format::json).collect()
    }

    #[test]
    fn sink_incomplete_snapshot_is_dropped() {
        let profile_dir = tempfile::tempdir().unwrap();
        let path = profile_dir.path().join("copy.jsonl");
        let snapshot = *change(2, 0).position();
        let mut lines = json(&[change(1, 5)]);
        for number in 10..13 {
            let line = format::json(&change(number, 50));
            lines.push(
                format::LogLine::read(&line)
                    .unwrap()
                    .1
                    .with_snapshot(&snapshot),
            );
        }
        lines.push(format::snapshot_end(&snapshot, 3));
        JsonlSink::open(&path).unwrap().append(&lines).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in (lines[0].len() + 1)..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut copy = JsonlSink::open(&path).unwrap();
            assert_eq!(copy.applied, Some(*change(1, 0).position()), "cut at {cut}");
            copy.append(&lines[1..]).unwrap();
            assert!(std::fs::read(&path).unwrap() == whole, "cut at {cut}");
        }
        assert_eq!(JsonlSink::open(&path).unwrap().applied, Some(snapshot));
    }

    #[test]
    fn sink_truncated_anywhere_resumes_after_last_line() {
        let profile_dir = tempfile::tempdir().unwrap();
        let path = profile_dir.path().join("copy.jsonl");
        let changes = [change(1, 5), change(2, 100_000), change(3, 5)];
        JsonlSink::open(&path)
            .unwrap()
            .append(&json(&changes))
            .unwrap();
        let whole = std::fs::read(&path).unwrap();
        let ends: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] == b'\n').collect();
        assert_eq!(ends.len(), 3);
        for cut in (0..whole.len()).filter(|cut| *cut < 400 || cut % 997 == 0 || *cut > 100_300) {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let complete = ends.iter().filter(|end| **end < cut).count();
            let mut copy = JsonlSink::open(&path).unwrap();
            assert_eq!(
                copy.applied.map_or(0, |position| position.seq),
                complete as u64,
                "cut at {cut}"
            );
            copy.append(&json(&changes[complete..])).unwrap();
            assert!(std::fs::read(&path).unwrap() == whole, "cut at {cut}");
        }
    }

    #[test]
    fn sink_foreign_file_is_untouched() {
        let profile_dir = tempfile::tempdir().unwrap();
        let path = profile_dir.path().join("letter.txt");
        std::fs::write(&path, "Dear Ann,\nhow are you\n").unwrap();
        let error = format!("{:#}", JsonlSink::open(&path).unwrap_err());
        assert!(
            error.contains("letter.txt") && error.contains("use another file"),
            "{error}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"Dear Ann,\nhow are you\n");
        std::fs::write(&path, "Dear Ann").unwrap();
        assert!(
            JsonlSink::open(&path).is_err(),
            "a letter of one line is one, too"
        );
        std::fs::write(&path, "{\"hist").unwrap();
        assert!(JsonlSink::open(&path).unwrap().applied.is_none());
    }
}
