//! Installation of system files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use graceful_server::config::config_file;

/// The kind of a file, for its permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Program,
    Text,
}

/// Writes a file atomically, and creates its parent directories.
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

/// Permissions are inherited from the directory.
#[cfg(not(unix))]
fn allow(_file: &Path, _kind: Kind) -> std::io::Result<()> {
    Ok(())
}

/// Writes the example configuration, unless there is a configuration.
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

/// Copies this program there, unless it runs from there.
///
/// # Errors
/// Names the file.
pub(super) fn put_program(file: &Path) -> anyhow::Result<()> {
    let this = std::env::current_exe().context("cannot find the path of this program")?;
    if this.canonicalize().ok() == file.canonicalize().ok() {
        return Ok(());
    }
    let content = fs::read(&this).with_context(|| format!("cannot read {}", this.display()))?;
    put(file, &content, Kind::Program)
}

/// Checks the configuration with this version before anything is replaced.
///
/// # Errors
/// The configuration errors.
pub(super) fn accepts_settings() -> anyhow::Result<()> {
    let file = config_file();
    if file.exists() {
        let this = std::env::current_exe().context("cannot find the path of this program")?;
        have(
            &this.display().to_string(),
            &["config", "check", "--config", &file.display().to_string()],
        )
        .context("nothing is changed: this version refuses the configuration")?;
    }
    Ok(())
}

/// Deletes a file, if it exists.
///
/// # Errors
/// Names the file.
#[cfg(any(target_os = "linux", windows))]
pub(super) fn remove(file: &Path) -> anyhow::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot delete {}", file.display()))
        }
        _ => Ok(()),
    }
}

/// The message after installation. `service` is the system's word, `start` the command to start it.
pub(super) fn installed(program: &Path, service: &str, start: &str) -> String {
    format!(
        "Installed {}, with a {service} that starts at boot.\n\
         Configuration: {}, with every option described.\n\
         Start it now: {start}",
        program.display(),
        config_file().display()
    )
}

/// # Errors
/// For other users than root.
#[cfg(unix)]
pub(super) fn only_root() -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("permission denied; run this with sudo");
    }
    Ok(())
}

/// Runs another program and returns its output.
///
/// # Errors
/// Its error output.
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
