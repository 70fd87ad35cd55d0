//! The warnings of the status report, each with the next step.

use serde::{Deserialize, Serialize};

use super::status_report::StatusReport;
use crate::observe::process::RESERVED_FILES;
use graceful_rules::uptime::CLOCK_SET_MS;

/// Automatic renewal happens long before.
const CERTIFICATE_DAYS: i64 = 14;

/// An older backup triggers a warning.
const BACKUP_DAYS: i64 = 30;

const DAY_S: i64 = 86_400;

/// Warn about free disk space below this multiple of the minimum.
const WATERMARKS: u64 = 4;

/// A warning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// The code for programs.
    pub name: String,
    /// The cause.
    pub text: String,
    /// The next step.
    pub next: String,
}

fn warning(name: &str, text: impl Into<String>, next: impl Into<String>) -> Warning {
    Warning {
        name: name.to_owned(),
        text: text.into(),
        next: next.into(),
    }
}

/// Returns all warnings, the most severe first.
pub(super) fn warnings(report: &StatusReport) -> Vec<Warning> {
    let all = [
        disk(report),
        certificate(report),
        clock(report),
        files(report),
        backup(report),
    ];
    all.into_iter().flatten().collect()
}

fn disk(report: &StatusReport) -> Option<Warning> {
    let free = report.free_bytes?;
    if report.state == "low_disk_space" {
        let text = "The disk is nearly full: new envelopes are rejected.";
        return Some(warning(
            "disk",
            text,
            "Free disk space; the relay continues within half a minute.",
        ));
    }
    (free < report.free_bytes_min.saturating_mul(WATERMARKS)).then(|| {
        let text = format!(
            "{} MB are free on the disk; below {} MB new envelopes are rejected.",
            free / 1_000_000,
            report.free_bytes_min / 1_000_000
        );
        warning(
            "disk",
            text,
            "Free disk space, or find large accounts with `graceful-relay account list --by bytes`.",
        )
    })
}

fn certificate(report: &StatusReport) -> Option<Warning> {
    let tls = report.tls.as_ref()?;
    if let Some(trouble) = &tls.tls_trouble {
        let mut text = trouble.clone();
        text[..1].make_ascii_uppercase();
        return Some(warning(
            "certificate",
            text + ".",
            "See docs/guide/tls.md; `graceful-relay doctor` looks closer.",
        ));
    }
    let left_s = tls.certificate_expires_s? - report.clock_s;
    (left_s < CERTIFICATE_DAYS * DAY_S).then(|| {
        let text = format!(
            "The certificate expires in {} days.",
            (left_s / DAY_S).max(0)
        );
        warning(
            "certificate",
            text,
            "Renew it, then run `graceful-relay reload`.",
        )
    })
}

fn clock(report: &StatusReport) -> Option<Warning> {
    let next = "Synchronize the clock over the network (`timedatectl`).";
    if report.clock_s * 1_000 < CLOCK_SET_MS {
        return Some(warning(
            "clock",
            "The clock was never set: certificates cannot be validated.",
            next,
        ));
    }
    let by_s = report.clock_jumped_s?;
    let way = if by_s < 0 { "back" } else { "forward" };
    let text = format!(
        "The clock was set {way} by {} s within the last day. Expiry and uptime are not affected.",
        by_s.abs()
    );
    Some(warning("clock", text, next))
}

fn files(report: &StatusReport) -> Option<Warning> {
    let (may, wanted) = (
        report.open_files_max?,
        report.connections_max? + RESERVED_FILES,
    );
    (may < wanted).then(|| {
        let text =
            format!("The process may open {may} files; limits.connections_max needs {wanted}.");
        warning(
            "open_files",
            text,
            format!(
                "Set LimitNOFILE={} in the service, or lower the limit.",
                wanted.next_power_of_two()
            ),
        )
    })
}

fn backup(report: &StatusReport) -> Option<Warning> {
    // Without the environment, backups cannot be recorded.
    report.listening.as_ref()?;
    let next = "Run `graceful-relay backup FILE`, or let its timer do it every day (docs/guide/backup.md).";
    match report.last_backup_s {
        None if report.accounts == 0 => None,
        None => Some(warning("backup", "There is no backup yet.", next)),
        Some(age_s) if age_s > BACKUP_DAYS * DAY_S => {
            let text = format!("The last backup is {} days old.", age_s / DAY_S);
            Some(warning("backup", text, next))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::TlsStatus;

    fn until(expires_s: i64) -> Option<TlsStatus> {
        Some(TlsStatus {
            certificate_expires_s: Some(expires_s),
            ..TlsStatus::default()
        })
    }

    fn well() -> StatusReport {
        StatusReport {
            state: "ready".into(),
            listening: Some("x".into()),
            accounts: 1,
            clock_s: 1_800_000_000,
            free_bytes: Some(10 << 30),
            free_bytes_min: 256 << 20,
            tls: until(1_800_000_000 + 60 * DAY_S),
            open_files_max: Some(4_096),
            connections_max: Some(2_000),
            last_backup_s: Some(DAY_S),
            ..StatusReport::default()
        }
    }

    #[test]
    fn each_trouble_is_told_and_nothing_else() {
        assert_eq!(warnings(&well()), []);
        let told = |change: fn(&mut StatusReport)| {
            let mut report = well();
            change(&mut report);
            let all = warnings(&report);
            assert_eq!(all.len(), 1, "{all:?}");
            assert!(!all[0].next.is_empty());
            all[0].name.clone()
        };
        assert_eq!(told(|it| it.state = "low_disk_space".into()), "disk");
        assert_eq!(told(|it| it.free_bytes = Some(900 << 20)), "disk");
        assert_eq!(
            told(|it| it.tls = until(it.clock_s + 13 * DAY_S)),
            "certificate"
        );
        assert_eq!(told(|it| it.tls = until(it.clock_s - 1)), "certificate");
        let trouble = |it: &mut StatusReport| {
            let trouble = Some("the key is lost".into());
            it.tls = it.tls.take().map(|tls| TlsStatus {
                tls_trouble: trouble,
                ..tls
            });
        };
        assert_eq!(told(trouble), "certificate");
        assert_eq!(told(|it| (it.clock_s, it.tls) = (86_400, None)), "clock");
        assert_eq!(told(|it| it.clock_jumped_s = Some(-3_600)), "clock");
        assert_eq!(told(|it| it.open_files_max = Some(1_024)), "open_files");
        assert_eq!(told(|it| it.last_backup_s = None), "backup");
        assert_eq!(told(|it| it.last_backup_s = Some(31 * DAY_S)), "backup");
    }
}
