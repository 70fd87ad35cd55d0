//! The status as text, for a person who reads it twice a year.

use console::{StyledObject, style};
use indicatif::HumanCount;

use crate::human::{bytes, duration, wrap};
use graceful_server::admin::StatusReport;

const COLUMNS: usize = 80;
const INDENT: usize = 16;
const BAR_COLUMNS: u64 = 16;

/// Bytes that an SD card takes before it wears out. Makers seldom publish it; 10 TB is typical of a 32 GB card,
/// whose cells take a few hundred writes.
const CARD_BYTES: u64 = 10_000_000_000_000;

const DAYS_OF_A_YEAR: u64 = 365;

pub(super) fn screen(overview: &StatusReport) -> String {
    let mut page = format!("\n {}\n", headline(overview));
    for message in &overview.not_ready_messages {
        page += &format!("   {}\n", wrap(message, 3, COLUMNS));
    }
    page.push('\n');
    for (name, value) in facts(overview) {
        page += &format!(
            "   {} {}\n",
            style(format!("{name:12}")).dim(),
            wrap(&value, INDENT, COLUMNS)
        );
    }
    page += &room(overview);
    page += &wear(overview);
    page += &backup(overview);
    page.push('\n');
    for warning in &overview.warnings {
        let mark = style("!").yellow().bold();
        page += &format!(" {mark} {}\n", wrap(&warning.text, 3, COLUMNS));
        page += &format!(
            "   {}\n",
            style(wrap(&format!("→ {}", warning.next), 5, COLUMNS)).dim()
        );
    }
    if overview.warnings.is_empty() {
        page += &format!(" {} nothing to do\n", style("✓").green());
    }
    page.push('\n');
    page
}

fn headline(overview: &StatusReport) -> String {
    let (mark, word): (fn(&'static str) -> StyledObject<&'static str>, &str) =
        match overview.state.as_str() {
            "ready" => (|mark| style(mark).green(), "ready"),
            "draining" => (|mark| style(mark).yellow(), "draining"),
            "low_disk_space" => (|mark| style(mark).red(), "low disk space"),
            "store_failed" | "canary_failed" => (|mark| style(mark).red(), "failing"),
            "certificate_missing" => (|mark| style(mark).red(), "no certificate"),
            "certificate_expired" => (|mark| style(mark).red(), "certificate expired"),
            other => (
                |mark| style(mark).dim(),
                if other.is_empty() { "running" } else { other },
            ),
        };
    let version = &overview.version;
    format!(
        "{} {}   graceful-relay {version}, up {}",
        mark("●"),
        style(word).bold(),
        duration(overview.uptime_s)
    )
}

fn facts(overview: &StatusReport) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let (Some(url), Some(listening)) = (&overview.url, &overview.listening) {
        facts.push((
            "Address",
            format!(
                "{url} (listens on {listening}, process {})",
                overview.process_id
            ),
        ));
    }
    facts.push(("Certificate", certificate(overview)));
    let most = overview
        .connections_max
        .map_or_else(String::new, |most| format!(" of {}", HumanCount(most)));
    facts.push((
        "Connections",
        format!("{}{most}", HumanCount(overview.connections)),
    ));
    facts.push(("Accounts", HumanCount(overview.accounts).to_string()));
    let oldest = match (overview.oldest_envelope_s, overview.retention_s) {
        (Some(oldest), Some(kept)) => {
            format!(
                ", the oldest for {} of {}",
                duration(oldest),
                duration(kept)
            )
        }
        _ => String::new(),
    };
    facts.push((
        "Envelopes",
        format!("{}{oldest}", HumanCount(overview.envelopes)),
    ));
    let stored = format!(
        "{} in a file of {}",
        bytes(overview.stored_bytes),
        bytes(overview.file_bytes)
    );
    facts.push(("Stored", stored));
    facts
}

fn certificate(overview: &StatusReport) -> String {
    let Some(status) = &overview.tls else {
        return "none: TLS is off, or ends at a proxy".to_owned();
    };
    let tls = &status.tls;
    let Some(expires_s) = status.certificate_expires_s else {
        return format!("{tls}, none yet");
    };
    let days = (expires_s - overview.clock_s).div_euclid(86_400);
    match (tls.as_str(), days) {
        (_, ..=-1) => format!("{tls}, expired"),
        (_, 0) => format!("{tls}, valid for less than a day"),
        // A self-signed one never expires.
        (_, 36_500..) => format!("{tls}, never expires"),
        (_, 1) => format!("{tls}, valid for 1 more day"),
        _ => {
            let until = status.certificate_expires.as_deref().unwrap_or_default();
            format!("{tls}, valid for {days} more days (until {until})")
        }
    }
}

fn line(name: &str, value: &str) -> String {
    format!("   {} {value}\n", style(format!("{name:12}")).dim())
}

/// A bar of the free disk space, against the minimum.
fn room(overview: &StatusReport) -> String {
    let Some(free) = overview.free_bytes else {
        return String::new();
    };
    let kept_free = overview.free_bytes_min;
    // Full at twenty times the minimum.
    let filled = match kept_free {
        0 => BAR_COLUMNS,
        min => (u128::from(free) * u128::from(BAR_COLUMNS) / (u128::from(min) * 20))
            .min(BAR_COLUMNS.into()) as u64,
    };
    let filled = usize::try_from(filled).unwrap_or(0);
    let bar = "█".repeat(filled) + &"░".repeat(BAR_COLUMNS as usize - filled);
    let bar = if free < kept_free * 4 {
        style(bar).yellow()
    } else {
        style(bar).green()
    };
    line(
        "Free",
        &format!(
            "{bar} {}; below {} writes are refused",
            bytes(free),
            bytes(kept_free)
        ),
    )
}

fn wear(overview: &StatusReport) -> String {
    let Some(written) = overview.written_bytes else {
        return String::new();
    };
    let Some(per_day) = overview.written_bytes_per_day else {
        return line(
            "Written",
            &format!(
                "{} so far; a rate follows after ten minutes",
                bytes(written)
            ),
        );
    };
    let text = format!("{} a day. {}", bytes(per_day), card(per_day));
    line("Written", &wrap(&text, INDENT, COLUMNS))
}

/// The lifetime of an SD card at this rate.
fn card(per_day: u64) -> String {
    let assumed = format!(
        "An SD card that takes {} (assumed for 32 GB)",
        bytes(CARD_BYTES)
    );
    match CARD_BYTES / per_day.max(1) {
        days if days >= 20 * DAYS_OF_A_YEAR => {
            format!("{assumed} lasts longer than 20 years.")
        }
        days if days >= 2 * DAYS_OF_A_YEAR => {
            format!("{assumed} lasts {} years.", days / DAYS_OF_A_YEAR)
        }
        days => format!("{assumed} wears out in {days} days; use a hard disk or an SSD."),
    }
}

fn backup(overview: &StatusReport) -> String {
    let text = match (&overview.last_backup, overview.last_backup_s) {
        (Some(backup), Some(age_s)) => {
            let ago = duration(u64::try_from(age_s).unwrap_or(0));
            format!("{ago} ago, {} in {}", bytes(backup.bytes), backup.file)
        }
        _ => "none yet".to_owned(),
    };
    line("Backup", &wrap(&text, INDENT, COLUMNS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use graceful_server::admin::Backup;
    use graceful_server::net::tls::TlsStatus;

    fn full() -> StatusReport {
        StatusReport {
            state: "ready".into(),
            version: "0.1.0".into(),
            uptime_s: 273_600,
            process_id: 1_234_567,
            listening: Some("[::]:443".into()),
            url: Some("wss://relay.a-rather-long-name.example.org".into()),
            tls: Some(TlsStatus {
                tls: "acme".into(),
                certificate_expires_s: Some(61 * 86_400),
                certificate_expires: Some("2027-01-25 10:00 UTC".into()),
                ..TlsStatus::default()
            }),
            connections: 12,
            connections_max: Some(2_000),
            envelopes: 1_204,
            oldest_envelope_s: Some(270_000),
            retention_s: Some(2_592_000),
            free_bytes: Some(3 << 30),
            free_bytes_min: 256 << 20,
            written_bytes: Some(1 << 30),
            written_bytes_per_day: Some(400 << 20),
            last_backup: Some(Backup {
                at: "x".into(),
                file: "/var/backups/relay/relay-2026-11-25.redb".into(),
                bytes: 52 << 20,
            }),
            last_backup_s: Some(90_000),
            ..StatusReport::default()
        }
    }

    #[test]
    fn status_fits_80_columns() {
        let page = console::strip_ansi_codes(&screen(&full())).into_owned();
        for line in page.lines() {
            assert!(line.chars().count() <= COLUMNS, "{line}");
        }
        assert!(
            page.contains("valid for 61 more days") && page.contains("nothing to do"),
            "{page}"
        );
    }

    #[test]
    fn write_rate_is_shown_as_lifetime_of_a_card() {
        assert!(card(400 << 20).contains("longer than 20 years"));
        assert!(card(3_000_000_000).contains("lasts 9 years"));
        assert!(card(50_000_000_000).contains("wears out in 200 days"));
        assert!(card(0).contains("longer than 20 years"));
    }

    #[test]
    fn missing_figures_are_left_out() {
        let page = screen(
            &serde_json::from_str("{\"connections\":1,\"accounts\":2,\"envelopes\":3}")
                .expect("JSON"),
        );
        assert!(
            page.contains("running") && !page.contains("Written"),
            "{page}"
        );
    }
}
