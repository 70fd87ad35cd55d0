//! `client status`: shows the status of this device.

use std::path::Path;

use clap::Args;
use jiff::{Timestamp, tz::TimeZone};
use serde_json::json;

use super::output::Output;
use super::session::{current, open, with};
use super::{devices, log};
use crate::sanitize::sanitize;
use graceful_client::{Alert, State, Status};

/// Options of `client status`.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// Dismiss all alerts first
    #[arg(long)]
    dismiss: bool,
}

impl Show {
    pub(super) async fn run(self, profile_dir: &Path, output: Output) -> anyhow::Result<()> {
        if self.dismiss {
            with(open(profile_dir, None).await?, async |client| {
                Ok(client.dismiss_alerts().await?)
            })
            .await?;
        }
        run(profile_dir, output).await
    }
}

async fn run(profile_dir: &Path, output: Output) -> anyhow::Result<()> {
    let status = current(profile_dir).await?;
    let result = json!({
        "relay": status.relay,
        "account": status.account.to_string(),
        "device": status.device.to_string(),
        "state": name(&status.state),
        "last_error": status.last_error,
        "created": status.created,
        "cursor": status.cursor,
        "stored_through": status.stored_through,
        "waiting": status.waiting,
        "key_epoch": status.key_epoch,
        "recovery": status.recovery.is_some(),
        "log": log::path(profile_dir),
        "devices": status.devices.iter().map(devices::as_json).collect::<Vec<_>>(),
        "alerts": status.alerts.iter().map(alert_json).collect::<Vec<_>>(),
    });
    output.result(&result, || screen(&status, profile_dir));
    Ok(())
}

fn screen(status: &Status, profile_dir: &Path) -> String {
    let mut lines = vec![
        format!("relay      {}", status.relay),
        format!("account    {}", status.account),
        format!("state      {}", words(&status.state)),
        format!("received   through seq {}", status.cursor),
        format!(
            "sent       through push number {}, {} waiting",
            status.stored_through, status.waiting
        ),
        format!("key epoch  {}", status.key_epoch),
        format!(
            "recovery   {}",
            if status.recovery.is_some() {
                "by recovery phrase"
            } else {
                "none"
            }
        ),
        format!("log        {}", log::path(profile_dir).display()),
    ];
    if let Some(error) = &status.last_error {
        lines.push(format!("error      {error}"));
    }
    for (row, device) in status.devices.iter().enumerate() {
        let title = if row == 0 { "devices" } else { "" };
        lines.push(format!("{title:9}  {}", devices::as_text(device)));
    }
    for (row, alert) in status.alerts.iter().enumerate() {
        let title = if row == 0 { "alerts" } else { "" };
        let kind = if alert.restored { "note" } else { "ALERT" };
        lines.push(format!(
            "{title:9}  {} {kind}: {}",
            date(alert.at_s),
            sanitize(&alert.message)
        ));
    }
    if status.alerts.iter().any(|alert| !alert.restored) {
        lines.push(ADVICE.to_owned());
    }
    lines.join("\n")
}

const ADVICE: &str = "\nThe relay, or an attacker on the path, does not show all devices the same data.\n\
     Ask the operator what happened. Compare the devices: changes may be missing.\nTo \
     dismiss these alerts, run: graceful-relay client status --dismiss";

fn alert_json(alert: &Alert) -> serde_json::Value {
    json!({ "message": alert.message, "at_s": alert.at_s, "restored": alert.restored })
}

/// Formats date and minute in local time.
fn date(at_s: u64) -> String {
    let time = i64::try_from(at_s)
        .ok()
        .and_then(|at_s| Timestamp::from_second(at_s).ok());
    time.map_or_else(String::new, |time| {
        time.to_zoned_datetime(TimeZone::system())
            .strftime("%Y-%m-%d %H:%M")
            .to_string()
    })
}

fn name(state: &State) -> &'static str {
    match state {
        State::Offline { .. } => "offline",
        State::Connecting => "connecting",
        State::Syncing { .. } => "syncing",
        State::UpToDate => "up_to_date",
        State::Refused { .. } => "refused",
    }
}

fn words(state: &State) -> String {
    match state {
        State::Offline { .. } => "offline".to_owned(),
        State::Connecting => "connecting".to_owned(),
        State::Syncing {
            received,
            head,
            waiting,
        } => {
            format!("connected; received {received} of {head}, {waiting} waiting")
        }
        State::UpToDate => "connected, up to date".to_owned(),
        State::Refused { message, .. } => format!("refused by the relay: {message}"),
    }
}
