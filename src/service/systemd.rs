//! Linux: the packages' systemd units, with the program below /usr/local.

use std::path::Path;

use anyhow::{Context, bail};

use super::place::{
    Kind, accepts_settings, have, installed, only_root, put, put_program, put_settings, remove,
};
use graceful_server::config::config_file;

const NAME: &str = "graceful-relay";
const PROGRAM: &str = "/usr/local/bin/graceful-relay";

/// The program's path in the packages' units.
const PROGRAM_OF_PACKAGES: &str = "/usr/bin/graceful-relay";

/// Unit files of a package.
const UNITS_OF_PACKAGES: [&str; 2] = [
    "/usr/lib/systemd/system/graceful-relay.service",
    "/lib/systemd/system/graceful-relay.service",
];

/// Installed files and their content.
const FILES: [(&str, &str); 6] = [
    (
        "/etc/systemd/system/graceful-relay.service",
        include_str!("../../systemd/graceful-relay.service"),
    ),
    (
        "/etc/systemd/system/graceful-relay.socket",
        include_str!("../../systemd/graceful-relay.socket"),
    ),
    (
        "/etc/systemd/system/graceful-relay-backup.service",
        include_str!("../../systemd/graceful-relay-backup.service"),
    ),
    (
        "/etc/systemd/system/graceful-relay-backup.timer",
        include_str!("../../systemd/graceful-relay-backup.timer"),
    ),
    (
        "/etc/sysusers.d/graceful-relay.conf",
        include_str!("../../systemd/graceful-relay.sysusers"),
    ),
    (
        "/etc/tmpfiles.d/graceful-relay.conf",
        include_str!("../../systemd/graceful-relay.tmpfiles"),
    ),
];

/// Units, each after those it depends on.
const UNITS: [&str; 3] = [
    "graceful-relay.service",
    "graceful-relay.socket",
    "graceful-relay-backup.timer",
];

pub(super) fn install() -> anyhow::Result<String> {
    may()?;
    let upgrade = Path::new(PROGRAM).exists();
    accepts_settings()?;
    put_program(Path::new(PROGRAM))?;
    for (file, content) in FILES {
        put(
            Path::new(file),
            content.replace(PROGRAM_OF_PACKAGES, PROGRAM).as_bytes(),
            Kind::Text,
        )?;
    }
    put_settings(&config_file())?;
    have("systemd-sysusers", &["graceful-relay.conf"])?;
    have("systemd-tmpfiles", &["--create", "graceful-relay.conf"])?;
    have("systemctl", &["daemon-reload"])?;
    if upgrade {
        // Devices are disconnected for some seconds.
        have("systemctl", &["try-restart", NAME]).context(why())?;
        return Ok(format!(
            "Upgraded {PROGRAM}. A running service was restarted."
        ));
    }
    have("systemctl", &["enable", NAME])?;
    Ok(installed(
        Path::new(PROGRAM),
        "service",
        &format!("sudo {PROGRAM} service start"),
    ))
}

pub(super) fn start() -> anyhow::Result<String> {
    may_as_root()?;
    is_there()?;
    // Returns when the relay is ready.
    have("systemctl", &["start", NAME]).context(why())?;
    Ok(format!("The service is running. See: sudo {NAME} status"))
}

pub(super) fn stop() -> anyhow::Result<String> {
    may_as_root()?;
    is_there()?;
    have("systemctl", &["stop", NAME])?;
    Ok("The service is stopped.".to_owned())
}

pub(super) fn uninstall() -> anyhow::Result<String> {
    may()?;
    if !FILES.iter().any(|(file, _)| Path::new(file).exists()) {
        bail!("not installed by `{NAME} service install`");
    }
    for unit in UNITS.iter().rev() {
        // Fails if it was never enabled, which is fine.
        let _ = have("systemctl", &["disable", "--now", unit]);
    }
    for (file, _) in FILES {
        remove(Path::new(file))?;
    }
    remove(Path::new(PROGRAM))?;
    have("systemctl", &["daemon-reload"])?;
    Ok("Removed service and program. Kept, to be deleted by hand: /etc/graceful-relay,\n\
        /var/lib/graceful-relay, /var/log/graceful-relay, /var/backups/graceful-relay, and the user graceful-relay."
        .to_owned())
}

/// # Errors
/// If a package or another service manager is responsible.
fn may() -> anyhow::Result<()> {
    if let Some(unit) = UNITS_OF_PACKAGES
        .iter()
        .find(|unit| Path::new(unit).exists())
    {
        bail!("a package installed the relay and its service ({unit}); use the package manager");
    }
    may_as_root()
}

fn may_as_root() -> anyhow::Result<()> {
    if !Path::new("/run/systemd/system").exists() {
        bail!(
            "systemd is not running; let your service manager run `{NAME} serve`, or run \
             `{NAME} serve --daemon --pid-file FILE` at boot (docs/guide/install/binary.md)"
        );
    }
    only_root()
}

fn is_there() -> anyhow::Result<()> {
    if !UNITS_OF_PACKAGES
        .iter()
        .chain([&FILES[0].0])
        .any(|unit| Path::new(unit).exists())
    {
        bail!("no service {NAME}; install it with `{NAME} service install`");
    }
    Ok(())
}

fn why() -> String {
    format!("the service does not start; see `journalctl -u {NAME} -n 30`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_unit_is_left_that_calls_a_program_of_a_package() {
        for (file, content) in FILES {
            let here = content.replace(PROGRAM_OF_PACKAGES, PROGRAM);
            assert!(!here.contains("=/usr/bin/graceful-relay"), "{file}");
        }
        let service = FILES[0].1.replace(PROGRAM_OF_PACKAGES, PROGRAM);
        assert!(service.contains("ExecStart=/usr/local/bin/graceful-relay serve\n"));
    }

    #[test]
    fn every_unit_that_is_switched_off_is_one_that_was_put_there() {
        for unit in UNITS {
            assert!(FILES.iter().any(|(file, _)| file.ends_with(unit)), "{unit}");
        }
    }
}
