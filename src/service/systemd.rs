//! On Linux: the units that the packages have, with the program below /usr/local.

use std::path::Path;

use anyhow::{Context, bail};

use super::place::{
    Kind, accepts_settings, have, installed, only_root, put, put_program, put_settings, remove,
};
use graceful_server::config::config_file;

const NAME: &str = "graceful-relay";
const PROGRAM: &str = "/usr/local/bin/graceful-relay";

/// Where the units expect the program that a package brings.
const PROGRAM_OF_PACKAGES: &str = "/usr/bin/graceful-relay";

/// What a package brings; one of them is there where a package is.
const UNITS_OF_PACKAGES: [&str; 2] = [
    "/usr/lib/systemd/system/graceful-relay.service",
    "/lib/systemd/system/graceful-relay.service",
];

/// Each file, and what is in it.
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

/// From the one that others depend on to the one that depends.
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
        // Devices are sent away for some seconds, and come back.
        have("systemctl", &["try-restart", NAME]).context(why())?;
        return Ok(format!(
            "{PROGRAM} is this version now. Where the service ran, it was restarted."
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
    // It returns when devices may come.
    have("systemctl", &["start", NAME]).context(why())?;
    Ok(format!("The service runs. How it does: sudo {NAME} status"))
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
        bail!("`{NAME} service install` put nothing here");
    }
    for unit in UNITS.iter().rev() {
        // One that was never enabled, or is gone already, is as it is to be.
        let _ = have("systemctl", &["disable", "--now", unit]);
    }
    for (file, _) in FILES {
        remove(Path::new(file))?;
    }
    remove(Path::new(PROGRAM))?;
    have("systemctl", &["daemon-reload"])?;
    Ok("Service and program are gone. What stays, to be deleted by hand: /etc/graceful-relay,\n\
        /var/lib/graceful-relay, /var/log/graceful-relay, /var/backups/graceful-relay, and the user graceful-relay."
        .to_owned())
}

/// # Errors
/// Where this is not the way here.
fn may() -> anyhow::Result<()> {
    if let Some(unit) = UNITS_OF_PACKAGES
        .iter()
        .find(|unit| Path::new(unit).exists())
    {
        bail!(
            "a package brought the relay and its service ({unit}); upgrade and remove it with the package manager"
        );
    }
    may_as_root()
}

fn may_as_root() -> anyhow::Result<()> {
    if !Path::new("/run/systemd/system").exists() {
        bail!(
            "systemd does not run here; have your service manager run `{NAME} serve`, or run \
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
        bail!("there is no service {NAME}; `{NAME} service install` makes one");
    }
    Ok(())
}

fn why() -> String {
    format!("the service does not start; `journalctl -u {NAME} -n 30` tells why")
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
