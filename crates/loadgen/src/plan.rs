//! The plan of a run, from command line arguments.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};

use super::schedule::LoadModel;
use super::timer::Rate;

/// Maximum devices of a run: each needs an open file on both sides.
const CONNECTIONS_MAX: usize = 100_000;

/// The load of the devices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// One device per account pushes
    #[default]
    Push,
    /// One device per account pushes, others receive
    Deliver,
    /// Devices are connected and idle
    Idle,
}

/// Options of the load.
#[derive(Clone, Args)]
pub struct Plan {
    /// Load of the devices
    #[arg(long, value_enum, default_value_t)]
    pub mode: Mode,
    /// Accounts, each with one pushing device
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub accounts: usize,
    /// Devices per account [default: 1; `--mode deliver`: 2]
    #[arg(long, value_name = "M", default_value_t = 0, hide_default_value = true)]
    pub devices: usize,
    /// Pushes per second of all devices (open loop)
    #[arg(long, value_name = "PER SECOND", conflicts_with = "in_flight")]
    pub rate: Option<f64>,
    /// Frames in flight per device (closed loop)
    #[arg(long, value_name = "K", default_value_t = 1)]
    pub in_flight: usize,
    /// Bytes of one change, before padding
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    pub size: usize,
    /// Changes per frame
    #[arg(long, value_name = "B", default_value_t = 1)]
    pub batch: u64,
    /// Measured time: 10s, 5m
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    pub duration: Duration,
    /// Time before the measurement
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    pub warm_up: Duration,
    /// Invitation, once per account
    #[arg(long = "invite", value_name = "INVITATION")]
    pub invites: Vec<String>,
    /// File with one invitation per line
    #[arg(long = "invites", value_name = "FILE")]
    pub invites_file: Option<PathBuf>,
}

/// Without the invitations.
impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            mode: Mode::Push,
            accounts: 8,
            devices: 1,
            rate: None,
            in_flight: 1,
            size: 1024,
            batch: 1,
            duration: Duration::from_secs(10),
            warm_up: Duration::from_secs(1),
            invites: Vec::new(),
            invites_file: None,
        }
    }
}

impl Plan {
    /// Validates the plan and completes defaults.
    ///
    /// # Errors
    /// Options that exclude each other.
    pub fn check(mut self) -> anyhow::Result<Self> {
        if self.devices == 0 {
            self.devices = if self.mode == Mode::Deliver { 2 } else { 1 };
        }
        ensure!(self.accounts >= 1, "--accounts must be at least 1");
        ensure!(
            self.mode != Mode::Deliver || self.devices >= 2,
            "with --mode deliver an account needs at least 2 --devices: one pushes, the others receive"
        );
        ensure!(
            self.mode != Mode::Push || self.devices == 1,
            "with --mode push only one device of each account connects; use --mode deliver for more"
        );
        ensure!(
            self.accounts.saturating_mul(self.devices) <= CONNECTIONS_MAX,
            "these are more than {CONNECTIONS_MAX} devices"
        );
        ensure!(
            self.in_flight >= 1 && self.batch >= 1,
            "--in-flight and --batch must be at least 1"
        );
        ensure!(
            !self.duration.is_zero(),
            "--duration must be longer than nothing"
        );
        ensure!(
            self.rate.is_none_or(|rate| rate.is_finite() && rate > 0.0),
            "--rate must be a number above 0"
        );
        if let Some(file) = &self.invites_file {
            let text = std::fs::read_to_string(file);
            let text = text.with_context(|| format!("cannot read {}", file.display()))?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            self.invites.extend(lines.map(str::to_owned));
        }
        Ok(self)
    }

    /// When the device of this account sends.
    pub fn pace(&self, account: usize) -> LoadModel {
        match self.frame_rate() {
            Some(rate) => rate.pace(account),
            None => LoadModel::Closed {
                in_flight: self.in_flight,
            },
        }
    }

    /// Of an open loop.
    pub fn frame_rate(&self) -> Option<Rate> {
        let frames_per_s = self.rate? / self.batch as f64;
        (self.mode != Mode::Idle).then_some(Rate {
            frames_per_s,
            devices: self.accounts,
        })
    }

    /// Devices that are connected.
    pub fn connections(&self) -> usize {
        self.accounts * self.devices
    }
}

/// Parses a duration: 500ms, 10s, 2m.
fn time(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number
        .parse()
        .map_err(|_| "write it as 500ms, 10s or 2m".to_owned())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        _ => Err("write it as 500ms, 10s or 2m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(time("2m"), Ok(Duration::from_secs(120)));
        assert!(time("10").is_err() && time("s").is_err() && time("1h").is_err());
    }

    #[test]
    fn what_does_not_go_together_is_said() {
        let said = |plan: Plan| {
            plan.check()
                .map_or_else(|error| error.to_string(), |_| String::new())
        };
        assert!(
            said(Plan {
                mode: Mode::Deliver,
                devices: 1,
                ..Plan::default()
            })
            .contains("at least 2")
        );
        assert!(
            said(Plan {
                devices: 3,
                ..Plan::default()
            })
            .contains("--mode deliver")
        );
        assert!(
            said(Plan {
                rate: Some(0.0),
                ..Plan::default()
            })
            .contains("--rate")
        );
        assert_eq!(said(Plan::default()), "");
        let plan = Plan {
            mode: Mode::Deliver,
            devices: 0,
            ..Plan::default()
        };
        assert_eq!(plan.check().map(|plan| plan.devices).ok(), Some(2));
    }
}
