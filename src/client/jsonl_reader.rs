//! Reads changes from a JSON Lines file, all or none.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::Value;

use super::profile::random_id;
use graceful_client::Change;

/// The protocol's limit of a transaction id.
const ID_BYTES_MAX: usize = 64;

/// Reads every line as a change. `-` is standard input; `progress` is called for each line.
pub(super) fn read(path: &Path, progress: impl FnMut()) -> anyhow::Result<Vec<Change>> {
    if path == Path::new("-") {
        return read_all("standard input", std::io::stdin().lock(), progress);
    }
    let name = path.display().to_string();
    let file = File::open(path).with_context(|| format!("cannot read {name}"))?;
    read_all(&name, BufReader::new(file), progress)
}

fn read_all(
    name: &str,
    mut reader: impl BufRead,
    mut progress: impl FnMut(),
) -> anyhow::Result<Vec<Change>> {
    let (mut changes, mut number) = (Vec::new(), 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        number += 1;
        if reader
            .read_until(b'\n', &mut line)
            .with_context(|| format!("cannot read {name}"))?
            == 0
        {
            return Ok(changes);
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if text.trim_ascii().is_empty() {
            continue;
        }
        match change(text) {
            Ok(change) => changes.push(change),
            Err(what) => bail!("{name}, line {number}: {what}; nothing was pushed"),
        }
        progress();
    }
}

/// The line is pushed byte for byte; its `id` field becomes the transaction id.
fn change(line: &[u8]) -> Result<Change, String> {
    let value: Value = serde_json::from_slice(line).map_err(|error| explain(&error))?;
    let id = match value.get("id") {
        Some(Value::String(id)) if id.len() > ID_BYTES_MAX => {
            return Err(format!(
                "id of {} bytes exceeds the limit of {ID_BYTES_MAX}",
                id.len()
            ));
        }
        Some(Value::String(id)) if !id.is_empty() => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        _ => random_id(),
    };
    Ok(Change::new(id, line.to_vec()))
}

/// Each line is parsed alone, so its inner line number would mislead.
fn explain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    format!("not JSON: {what} at column {}", error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<Change>, String> {
        read_all("ledger.jsonl", text.as_bytes(), || ()).map_err(|error| error.to_string())
    }

    #[test]
    fn lines_are_read_byte_for_byte_with_their_id() {
        let changes = read_text("{\"id\":\"a\", \"n\": 1.10}\n\n{\"id\":7}\r\n[1]").unwrap();
        assert_eq!(changes.len(), 3);
        assert_eq!(
            (changes[0].transaction_id.as_str(), &changes[0].content[..]),
            ("a", &b"{\"id\":\"a\", \"n\": 1.10}"[..])
        );
        assert_eq!(changes[1].transaction_id, "7");
        assert_eq!(changes[2].transaction_id.len(), 32);
    }

    #[test]
    fn first_invalid_line_is_named() {
        let error = read_text("{}\n\n{\"id\":}\n").unwrap_err();
        assert_eq!(
            error,
            "ledger.jsonl, line 3: not JSON: expected value at column 7; nothing was pushed"
        );
        let long = format!("{{\"id\":\"{}\"}}", "x".repeat(65));
        assert!(
            read_text(&long)
                .unwrap_err()
                .contains("line 1: id of 65 bytes exceeds the limit of 64")
        );
    }
}
