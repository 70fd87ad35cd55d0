//! Names of backups in a directory, and deletion of old ones.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context;
use jiff::Timestamp;

use super::archive::Manifest;
use super::unpack::manifest_of;

const PREFIX: &str = "graceful-relay-";
const ENDING: &str = ".backup";

/// The output file: `to` itself, or one in the directory `to`, named by the time.
pub(super) fn destination(to: &Path, at: Timestamp) -> anyhow::Result<PathBuf> {
    if !to.is_dir() {
        let is_folder = to
            .as_os_str()
            .to_string_lossy()
            .ends_with(std::path::MAIN_SEPARATOR);
        anyhow::ensure!(!is_folder, "no directory {}; create it first", to.display());
        return Ok(to.to_owned());
    }
    let named = |time: &str| to.join(format!("{PREFIX}{}{ENDING}", at.strftime(time)));
    let minute = named("%Y-%m-%dT%H%MZ");
    // A second one within the minute.
    Ok(if minute.exists() {
        named("%Y-%m-%dT%H%M%SZ")
    } else {
        minute
    })
}

/// The creation time in a backup's name, in a form that sorts. `None`: another name.
fn time_of(name: &str) -> Option<String> {
    let time = name.strip_prefix(PREFIX)?.strip_suffix(ENDING)?;
    let form = |time: &str| -> String {
        let of = |letter: char| if letter.is_ascii_digit() { '0' } else { letter };
        time.chars().map(of).collect()
    };
    match form(time).as_str() {
        "0000-00-00T0000Z" => Some(time.replace('Z', "00Z")),
        "0000-00-00T000000Z" => Some(time.to_owned()),
        _ => None,
    }
}

/// Deletes the oldest backups of this relay until `keep` are left. Never a file with another name, without a
/// manifest, or of another relay.
pub(super) fn remove_older(
    folder: &Path,
    relay_id: &str,
    keep: usize,
) -> anyhow::Result<Vec<PathBuf>> {
    let cannot = || {
        format!(
            "the backup is complete, but older ones in {} cannot be deleted",
            folder.display()
        )
    };
    let mut own = Vec::new();
    for entry in fs::read_dir(folder).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        let Some(time) = time_of(&entry.file_name().to_string_lossy()) else {
            continue;
        };
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file && is_of(&entry.path(), relay_id) {
            own.push((time, entry.path()));
        }
    }
    own.sort();
    let too_many = own.len().saturating_sub(keep);
    let older: Vec<PathBuf> = own
        .into_iter()
        .take(too_many)
        .map(|(_, path)| path)
        .collect();
    for path in &older {
        fs::remove_file(path).with_context(cannot)?;
    }
    Ok(older)
}

fn is_of(path: &Path, relay_id: &str) -> bool {
    let text = File::open(path)
        .and_then(|mut file| manifest_of(&mut file))
        .ok()
        .flatten();
    let manifest = text.and_then(|text| serde_json::from_slice::<Manifest>(&text).ok());
    manifest.is_some_and(|manifest| manifest.relay_id == relay_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time_and_others_are_none() {
        let time = |name: &str| time_of(&format!("graceful-relay-{name}.backup"));
        let (minute, second) = (time("2026-11-25T0730Z"), time("2026-11-25T073012Z"));
        assert!(minute.is_some() && minute < second && second < time("2026-11-25T0731Z"));
        for other in [
            "2026-11-25",
            "2026-11-25T0730",
            "2026-11-25T07300Z",
            "",
            "yearly",
        ] {
            assert_eq!(time(other), None, "{other}");
        }
        assert_eq!(time_of("graceful-relay-2026-11-25T0730Z.backup.old"), None);
    }
}
