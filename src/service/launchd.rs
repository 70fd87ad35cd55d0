//! macOS: the package's launchd daemon.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::place::{Kind, accepts_settings, have, installed, only_root, put, put_program};

const NAME: &str = "graceful-relay";
const TARGET: &str = "system/graceful-relay";
const PROGRAM: &str = "/usr/local/bin/graceful-relay";
const DAEMON: &str = "/Library/LaunchDaemons/graceful-relay.plist";

/// Installed files and their content.
const FILES: [(&str, &str); 2] = [
    (
        DAEMON,
        include_str!("../../packaging/macos/graceful-relay.plist"),
    ),
    (
        "/usr/local/share/graceful-relay/config.toml",
        include_str!("../../config.example.toml"),
    ),
];

/// The package's scripts after installation and for removal.
const PREPARE: &str = include_str!("../../packaging/macos/postinstall");
const REMOVE: &str = include_str!("../../packaging/macos/uninstall");

/// Timeout of a start or stop.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(200);

pub(super) fn install() -> anyhow::Result<String> {
    only_root()?;
    if have("pkgutil", &["--pkg-info", NAME]).is_ok() {
        bail!("the installer package installed the relay; upgrade it with a newer package");
    }
    let runs = is_loaded();
    accepts_settings()?;
    put_program(Path::new(PROGRAM))?;
    for (file, content) in FILES {
        put(Path::new(file), content.as_bytes(), Kind::Text)?;
    }
    if runs {
        have("/bin/sh", &["-c", PREPARE, NAME])?;
        return Ok(format!("Upgraded {PROGRAM} and restarted the daemon."));
    }
    have("/bin/sh", &["-c", PREPARE, NAME, "--only-prepare"])?;
    Ok(installed(
        Path::new(PROGRAM),
        "daemon",
        &format!("sudo {PROGRAM} service start"),
    ))
}

pub(super) fn start() -> anyhow::Result<String> {
    is_there()?;
    if !is_loaded() {
        have("launchctl", &["enable", TARGET])?;
        have("launchctl", &["bootstrap", "system", DAEMON])?;
    }
    wait_until(|| have(PROGRAM, &["healthcheck"]).is_ok())
        .context("the daemon does not start; see /var/log/graceful-relay")?;
    Ok(format!("The daemon is running. See: sudo {NAME} status"))
}

pub(super) fn stop() -> anyhow::Result<String> {
    is_there()?;
    if is_loaded() {
        // Fails while the stop is still in progress.
        let told = have("launchctl", &["bootout", TARGET]);
        wait_until(|| !is_loaded()).or(told.map(drop))?;
    }
    Ok("The daemon is stopped.".to_owned())
}

pub(super) fn uninstall() -> anyhow::Result<String> {
    is_there()?;
    Ok(have("/bin/sh", &["-c", REMOVE, NAME])?
        .trim_end()
        .to_owned())
}

fn is_there() -> anyhow::Result<()> {
    only_root()?;
    if !Path::new(DAEMON).exists() {
        bail!("no daemon {NAME}; install it with `{NAME} service install`");
    }
    Ok(())
}

fn is_loaded() -> bool {
    have("launchctl", &["print", TARGET]).is_ok()
}

/// launchd has no notification.
fn wait_until(mut holds: impl FnMut() -> bool) -> anyhow::Result<()> {
    let started = Instant::now();
    while !holds() {
        if started.elapsed() > PATIENCE {
            bail!("timeout after {} seconds", PATIENCE.as_secs());
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
