//! On macOS: the daemon that the package has.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::place::{Kind, accepts_settings, have, installed, only_root, put, put_program};

const NAME: &str = "graceful-relay";
const TARGET: &str = "system/graceful-relay";
const PROGRAM: &str = "/usr/local/bin/graceful-relay";
const DAEMON: &str = "/Library/LaunchDaemons/graceful-relay.plist";

/// Each file, and what is in it.
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

/// What the package does when its files are in place; and when it is to go.
const PREPARE: &str = include_str!("../../packaging/macos/postinstall");
const REMOVE: &str = include_str!("../../packaging/macos/uninstall");

/// A start or an end that takes longer has failed, for who waits for it here.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(200);

pub(super) fn install() -> anyhow::Result<String> {
    only_root()?;
    if have("pkgutil", &["--pkg-info", NAME]).is_ok() {
        bail!("the installer brought the relay and its daemon; upgrade it with a newer one");
    }
    let runs = is_loaded();
    accepts_settings()?;
    put_program(Path::new(PROGRAM))?;
    for (file, content) in FILES {
        put(Path::new(file), content.as_bytes(), Kind::Text)?;
    }
    if runs {
        have("/bin/sh", &["-c", PREPARE, NAME])?;
        return Ok(format!(
            "{PROGRAM} is this version now, and was started anew."
        ));
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
        .context("the daemon does not start; /var/log/graceful-relay tells why")?;
    Ok(format!("The daemon runs. How it does: sudo {NAME} status"))
}

pub(super) fn stop() -> anyhow::Result<String> {
    is_there()?;
    if is_loaded() {
        // It may say that this takes a while, which is as it should be.
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
        bail!("there is no daemon {NAME}; `{NAME} service install` makes one");
    }
    Ok(())
}

fn is_loaded() -> bool {
    have("launchctl", &["print", TARGET]).is_ok()
}

/// launchd has no way to be told.
fn wait_until(mut holds: impl FnMut() -> bool) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > PATIENCE {
            bail!("it takes longer than {} seconds", PATIENCE.as_secs());
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
