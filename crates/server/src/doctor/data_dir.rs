//! The check of the data directory: it exists, belongs to the relay and is private.

use std::path::Path;

use super::Finding;

const CHECK: &str = "data directory";

/// Checks the directory and the files in it.
#[cfg(unix)]
pub fn data_dir(folder: &Path) -> Vec<Finding> {
    use std::os::unix::fs::MetadataExt;
    let shown = folder.display();
    let about = match std::fs::metadata(folder) {
        Ok(about) if about.is_dir() => about,
        Ok(_) => {
            return vec![Finding::failure(
                CHECK,
                format!("{shown} is not a directory"),
                "Choose another: storage.data_dir.",
            )];
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let next = "Start the relay once, or name its folder with --data-dir.";
            return vec![Finding::warning(
                CHECK,
                format!("{shown} does not exist"),
                next,
            )];
        }
        Err(error) => {
            let next = "Run this as the relay's user, or with sudo.";
            return vec![Finding::warning(
                CHECK,
                format!("cannot read {shown}: {error}"),
                next,
            )];
        }
    };
    let mut findings = Vec::new();
    let open_to_others = about.mode() & 0o077;
    if open_to_others != 0 {
        let text = format!(
            "{shown} is open to other users (mode {:o})",
            about.mode() & 0o777
        );
        findings.push(Finding::warning(
            CHECK,
            text,
            format!("Run: chmod 700 {shown}"),
        ));
    }
    match std::fs::read_dir(folder) {
        Ok(entries) => {
            let strangers: Vec<_> = entries
                .filter_map(Result::ok)
                .filter(|entry| {
                    entry.metadata().is_ok_and(|file| {
                        file.uid() != about.uid() && entry.file_name() != "lost+found"
                    })
                })
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect();
            if !strangers.is_empty() {
                let text = format!(
                    "{} in {shown} belong to another user than the directory",
                    strangers.join(", ")
                );
                let next = format!("Run: chown -R --reference={shown} {shown}");
                findings.push(Finding::failure(CHECK, text, next));
            }
        }
        Err(_) => {
            let next = "Run this as the relay's user, or with sudo, to see more.";
            findings.push(Finding::warning(
                CHECK,
                format!(
                    "{shown} belongs to user {} and is not readable by this one",
                    about.uid()
                ),
                next,
            ));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            CHECK,
            format!("{shown} is private to user {}", about.uid()),
        ));
    }
    findings
}

/// Checks that the directory exists.
#[cfg(not(unix))]
pub fn data_dir(folder: &Path) -> Vec<Finding> {
    let shown = folder.display();
    vec![match folder.is_dir() {
        true => Finding::ok(CHECK, format!("{shown} exists")),
        false => Finding::warning(
            CHECK,
            format!("{shown} does not exist"),
            "Start the relay once.",
        ),
    }]
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::Level;
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_folder_that_others_see_into_is_told() {
        let inside = tempfile::tempdir().expect("a folder");
        let mode = |mode| {
            std::fs::set_permissions(inside.path(), std::fs::Permissions::from_mode(mode))
                .expect("ours")
        };
        mode(0o700);
        assert_eq!(data_dir(inside.path())[0].level, Level::Ok);
        mode(0o750);
        let found = data_dir(inside.path());
        assert!(
            found[0].level == Level::Warning && found[0].text.contains("750"),
            "{found:?}"
        );
        assert_eq!(
            data_dir(&inside.path().join("missing"))[0].level,
            Level::Warning
        );
    }
}
