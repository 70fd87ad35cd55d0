//! Files of the system, put in place whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use graceful_server::config::config_file;

/// What a file is for, as far as its rights go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Program,
    Text,
}

/// Puts this content there, and makes the folders above it. Whoever reads the file meanwhile finds the old
/// content or the new.
///
/// # Errors
/// Names the file.
pub(super) fn put(file: &Path, content: &[u8], kind: Kind) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", file.display());
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(cannot)?;
    }
    let fresh = PathBuf::from(format!("{}.new", file.display()));
    fs::write(&fresh, content).with_context(cannot)?;
    allow(&fresh, kind).with_context(cannot)?;
    fs::rename(&fresh, file).with_context(cannot)
}

#[cfg(unix)]
fn allow(file: &Path, kind: Kind) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = match kind {
        Kind::Program => 0o755,
        Kind::Text => 0o644,
    };
    fs::set_permissions(file, fs::Permissions::from_mode(mode))
}

/// The folder says who may do what.
#[cfg(not(unix))]
fn allow(_file: &Path, _kind: Kind) -> std::io::Result<()> {
    Ok(())
}

/// The settings that are there stay as they are.
///
/// # Errors
/// Names the file.
#[cfg(any(target_os = "linux", windows))]
pub(super) fn put_settings(file: &Path) -> anyhow::Result<()> {
    match file.exists() {
        true => Ok(()),
        false => put(
            file,
            include_bytes!("../../config.example.toml"),
            Kind::Text,
        ),
    }
}

/// Puts this very program there, unless that is the file that runs.
///
/// # Errors
/// Names the file.
pub(super) fn put_program(file: &Path) -> anyhow::Result<()> {
    let this = std::env::current_exe().context("this program does not know where it is")?;
    if this.canonicalize().ok() == file.canonicalize().ok() {
        return Ok(());
    }
    let content = fs::read(&this).with_context(|| format!("cannot read {}", this.display()))?;
    put(file, &content, Kind::Program)
}

/// An upgrade that cannot start is none: before anything is replaced, this version looks at the settings.
///
/// # Errors
/// What is wrong with them.
pub(super) fn accepts_settings() -> anyhow::Result<()> {
    let file = config_file();
    if file.exists() {
        let this = std::env::current_exe().context("this program does not know where it is")?;
        have(
            &this.display().to_string(),
            &["config", "check", "--config", &file.display().to_string()],
        )
        .context("nothing was changed, for this version does not accept the settings")?;
    }
    Ok(())
}

/// Takes a file away, if it is there.
///
/// # Errors
/// Names the file.
#[cfg(any(target_os = "linux", windows))]
pub(super) fn remove(file: &Path) -> anyhow::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

/// What whoever installed it is told. `service` is what the system calls such a thing, `start` the command
/// that starts it.
pub(super) fn installed(program: &Path, service: &str, start: &str) -> String {
    format!(
        "Installed as {}, with a {service} that starts with the machine.\n\
         Settings: {}, in which every option is explained.\n\
         Start it now: {start}",
        program.display(),
        config_file().display()
    )
}

/// # Errors
/// For everybody else.
#[cfg(unix)]
pub(super) fn only_root() -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("only root may do this; try it with sudo");
    }
    Ok(())
}

/// Has another program do something, and gives what it said.
///
/// # Errors
/// What it said where it failed.
pub(super) fn have(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let done = Command::new(program).args(arguments).output();
    let done = done.with_context(|| format!("cannot run {program}"))?;
    if !done.status.success() {
        let said = [done.stdout, done.stderr].concat();
        bail!(
            "`{program} {}` failed: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&said).trim()
        );
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(any(target_os = "linux", windows))]
    #[test]
    fn a_file_is_replaced_and_settings_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("etc/config.toml");
        put_settings(&file).unwrap();
        assert!(fs::read_to_string(&file).unwrap().contains("[server]"));
        put(&file, b"mine", Kind::Text).unwrap();
        put_settings(&file).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"mine");
        remove(&file).unwrap();
        remove(&file).unwrap();
        assert!(!file.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_program_can_be_run_by_all_and_written_by_its_owner() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bin/graceful-relay");
        put_program(&file).unwrap();
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o755
        );
        assert_eq!(
            fs::read(&file).unwrap(),
            fs::read(std::env::current_exe().unwrap()).unwrap()
        );
    }
}
