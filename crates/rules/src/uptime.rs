//! Daily uptime from the records of a relay's runs.
//!
//! Durations use the machine's boot clock, which nobody can set; the wall clock only places them in
//! the calendar. A wall clock that jumps during a run, or between two runs of one boot, neither
//! adds nor hides downtime.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::latency::Latency;

/// Milliseconds in a day.
pub const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Wall clocks before 2024-01-01 (Unix milliseconds) are considered unset.
pub const CLOCK_SET_MS: i64 = 1_704_067_200_000;

/// Incidents of one day that are listed individually.
pub const DAY_INCIDENTS_MAX: usize = 100;

/// One reading of all clocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockReading {
    /// Boot id; `clock_ms` is comparable within one boot only.
    pub boot: String,
    /// Milliseconds since boot, including sleep.
    pub clock_ms: u64,
    /// Wall clock, Unix milliseconds.
    pub wall_ms: i64,
    /// The relay's clock ([`super::RelayTime`]), stored with each commit. At the next start it
    /// shows how long the previous run continued after its last record.
    pub relay_ms: u64,
}

/// A period of a run in which the relay was not ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// Start by [`ClockReading::clock_ms`].
    pub from_ms: u64,
    /// End.
    pub until_ms: u64,
    /// Human-readable cause.
    pub cause: String,
    /// Whether it was planned.
    pub planned: bool,
}

/// One record of the uptime log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// A run started.
    Started {
        /// Time of the start.
        at: ClockReading,
    },
    /// An interval of a run.
    #[serde(rename = "folded")]
    Interval {
        /// End of the interval.
        at: ClockReading,
        /// Its length in milliseconds.
        lasted_ms: u64,
        /// Push latency during the interval.
        latency: Latency,
        /// Outages during the interval.
        #[serde(rename = "troubles")]
        outages: Vec<Outage>,
    },
    /// A run stopped cleanly.
    Stopped {
        /// Time of the stop.
        at: ClockReading,
        /// Whether an operator requested it.
        planned: bool,
    },
    /// Compacted earlier runs, one record per day.
    #[serde(rename = "settled")]
    DaySummary {
        /// Days since 1970.
        day: i64,
        /// Totals of the day.
        #[serde(flatten)]
        of: Day,
    },
}

/// Totals of one UTC day.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Day {
    /// Uptime.
    pub up_ms: i64,
    /// Unplanned downtime.
    pub down_ms: i64,
    /// Planned downtime.
    pub planned_ms: i64,
    /// Push latency.
    pub latency: Latency,
    /// Incidents in order.
    pub incidents: Vec<Incident>,
    /// Incidents beyond [`DAY_INCIDENTS_MAX`]: counted above, not listed.
    pub incidents_more: u64,
}

/// An incident, or its part within one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Start, Unix milliseconds.
    pub from_ms: i64,
    /// End.
    pub until_ms: i64,
    /// Human-readable cause.
    pub cause: String,
    /// Whether it was planned and so does not count as downtime.
    pub planned: bool,
}

/// Causes of downtime between two runs.
const STOPPED: &str = "planned stop";
const STOPPED_LONG: &str = "not restarted in time after a planned stop";
const CRASHED: &str = "stopped unexpectedly";
const CLOCK: &str = "not running for an unknown time: the clock went back";

/// Accumulator of days.
#[derive(Debug, Default)]
struct Days {
    days: BTreeMap<i64, Day>,
    planned_stop_max_ms: i64,
}

/// The end of one run.
#[derive(Debug, Clone)]
struct RunEnd {
    at: ClockReading,
    /// Calendar time of the end.
    wall_ms: i64,
    planned: bool,
}

/// Returns the totals of each day, keyed by days since 1970.
///
/// With `now`, the time since the last run counts as well: pass it when no relay runs. A planned
/// stop counts as planned for `planned_stop_max_ms` and as downtime after that.
pub fn days(
    records: &[Record],
    planned_stop_max_ms: i64,
    now: Option<&ClockReading>,
) -> BTreeMap<i64, Day> {
    let (mut days, last) = replay(records, planned_stop_max_ms);
    if let (Some(last), Some(now)) = (last, now) {
        days.gap(&last, now, now.wall_ms);
    }
    days.days
}

/// Returns the sum of several days. An incident across midnight becomes one.
pub fn sum(all: &BTreeMap<i64, Day>, which: Range<i64>) -> Day {
    let mut sum = Day::default();
    for (_, day) in all.range(which) {
        sum.add(day, usize::MAX);
    }
    sum
}

/// Compacts records to one per day, plus the end of the last run.
pub fn compact(records: &[Record], planned_stop_max_ms: i64) -> Vec<Record> {
    let (days, last) = replay(records, planned_stop_max_ms);
    let settled = days
        .days
        .into_iter()
        .map(|(day, of)| Record::DaySummary { day, of });
    let end = last.map(
        |RunEnd {
             at,
             wall_ms,
             planned,
         }| Record::Stopped {
            at: ClockReading { wall_ms, ..at },
            planned,
        },
    );
    settled.chain(end).collect()
}

fn replay(records: &[Record], planned_stop_max_ms: i64) -> (Days, Option<RunEnd>) {
    let mut days = Days {
        planned_stop_max_ms,
        ..Days::default()
    };
    let mut last: Option<RunEnd> = None;
    let mut rest = records;
    while let Some((first, behind)) = rest.split_first() {
        match first {
            Record::DaySummary { day, of } => {
                days.days.entry(*day).or_default().merge(of);
                rest = behind;
            }
            _ => {
                let others = |record: &Record| {
                    matches!(record, Record::Started { .. } | Record::DaySummary { .. })
                };
                let next = behind.iter().position(others);
                let (run, behind) = rest.split_at(next.map_or(rest.len(), |next| next + 1));
                last = days.run(run, last.as_ref()).or(last);
                rest = behind;
            }
        }
    }
    (days, last)
}

/// Returns the clock reading of a record of a run.
fn reading(record: &Record) -> Option<&ClockReading> {
    match record {
        Record::Started { at, .. } | Record::Interval { at, .. } | Record::Stopped { at, .. } => {
            Some(at)
        }
        Record::DaySummary { .. } => None,
    }
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX / 4)
}

impl Days {
    /// Adds one run and the time between it and the previous one.
    fn run(&mut self, run: &[Record], before: Option<&RunEnd>) -> Option<RunEnd> {
        let (first, anchor) = (reading(run.first()?)?, reading(run.last()?)?);
        // The last reading is the best: a board boots in 1970 and learns the date later.
        let mut offset_ms = anchor.wall_ms - signed(anchor.clock_ms);
        let floats = anchor.wall_ms < CLOCK_SET_MS;
        if floats {
            // Its length is known, its date is not: place it after the previous run.
            offset_ms = before?.wall_ms - signed(first.clock_ms);
        }
        let wall_ms = |clock_ms: u64| offset_ms + signed(clock_ms);
        if let (Record::Started { at }, Some(before), false) = (&run[0], before, floats) {
            self.gap(before, at, wall_ms(at.clock_ms));
        }
        let mut planned = false;
        for record in run {
            match record {
                Record::Interval {
                    at,
                    lasted_ms,
                    latency,
                    outages,
                } => {
                    let from_ms = wall_ms(at.clock_ms) - signed(*lasted_ms);
                    self.add_up(from_ms, wall_ms(at.clock_ms), latency);
                    for outage in outages {
                        let (from_ms, until_ms) =
                            (wall_ms(outage.from_ms), wall_ms(outage.until_ms));
                        self.subtract_up(from_ms, until_ms);
                        self.add_downtime(from_ms, until_ms, &outage.cause, outage.planned);
                    }
                }
                Record::Stopped { planned: was, .. } => planned = *was,
                Record::Started { .. } | Record::DaySummary { .. } => {}
            }
        }
        Some(RunEnd {
            at: anchor.clone(),
            wall_ms: wall_ms(anchor.clock_ms),
            planned,
        })
    }

    /// Adds the time between the end of one run and the start of the next.
    fn gap(&mut self, before: &RunEnd, next: &ClockReading, next_ms: i64) {
        let same_boot = before.at.boot == next.boot && next.clock_ms >= before.at.clock_ms;
        let length_ms = match same_boot {
            true => signed(next.clock_ms - before.at.clock_ms),
            false => next_ms - before.wall_ms,
        };
        if length_ms < 0 {
            return self.add_downtime(next_ms, next_ms, CLOCK, false);
        }
        let mut from_ms = next_ms - length_ms;
        if before.planned {
            let until_ms = next_ms.min(from_ms + self.planned_stop_max_ms);
            self.add_downtime(from_ms, until_ms, STOPPED, true);
            return self.add_downtime_if_any(until_ms, next_ms, STOPPED_LONG);
        }
        // It was running at its last commit, whenever it wrote its last record.
        let alive_ms = signed(next.relay_ms.saturating_sub(before.at.relay_ms)).min(length_ms);
        if alive_ms > 0 {
            self.add_up(from_ms, from_ms + alive_ms, &Latency::default());
            from_ms += alive_ms;
        }
        self.add_downtime_if_any(from_ms, next_ms, CRASHED);
    }

    fn add_downtime_if_any(&mut self, from_ms: i64, until_ms: i64, cause: &str) {
        if from_ms < until_ms {
            self.add_downtime(from_ms, until_ms, cause, false);
        }
    }

    fn add_up(&mut self, from_ms: i64, until_ms: i64, latency: &Latency) {
        for (day, from_ms, until_ms) in parts(from_ms, until_ms) {
            self.day(day).up_ms += until_ms - from_ms;
        }
        self.day(until_ms.div_euclid(DAY_MS)).latency.merge(latency);
    }

    fn subtract_up(&mut self, from_ms: i64, until_ms: i64) {
        for (day, from_ms, until_ms) in parts(from_ms, until_ms) {
            self.day(day).up_ms -= until_ms - from_ms;
        }
    }

    fn add_downtime(&mut self, from_ms: i64, until_ms: i64, cause: &str, planned: bool) {
        for (day, from_ms, until_ms) in parts(from_ms, until_ms) {
            let day = self.day(day);
            *(if planned {
                &mut day.planned_ms
            } else {
                &mut day.down_ms
            }) += until_ms - from_ms;
            day.note(Incident {
                from_ms,
                until_ms,
                cause: cause.to_owned(),
                planned,
            });
        }
    }

    fn day(&mut self, day: i64) -> &mut Day {
        self.days.entry(day).or_default()
    }
}

/// Splits a period at midnight UTC.
fn parts(from_ms: i64, until_ms: i64) -> impl Iterator<Item = (i64, i64, i64)> {
    let (first, last) = (
        from_ms.div_euclid(DAY_MS),
        (until_ms - 1).max(from_ms).div_euclid(DAY_MS),
    );
    (first..=last).map(move |day| {
        (
            day,
            from_ms.max(day * DAY_MS),
            until_ms.min((day + 1) * DAY_MS),
        )
    })
}

impl Day {
    /// Adds the totals of the same day from another source.
    pub fn merge(&mut self, other: &Self) {
        self.add(other, DAY_INCIDENTS_MAX);
    }

    /// Adds totals and lists up to `incidents_max` incidents.
    fn add(&mut self, other: &Self, incidents_max: usize) {
        self.up_ms += other.up_ms;
        self.down_ms += other.down_ms;
        self.planned_ms += other.planned_ms;
        self.latency.merge(&other.latency);
        self.incidents_more += other.incidents_more;
        for incident in &other.incidents {
            self.list(incident.clone(), incidents_max);
        }
    }

    fn note(&mut self, incident: Incident) {
        self.list(incident, DAY_INCIDENTS_MAX);
    }

    /// Merges an incident that continues the previous one.
    fn list(&mut self, incident: Incident, incidents_max: usize) {
        let full = self.incidents.len() >= incidents_max;
        match self.incidents.last_mut() {
            Some(last) if last.continues_as(&incident) => last.until_ms = incident.until_ms,
            _ if full => self.incidents_more += 1,
            _ => self.incidents.push(incident),
        }
    }
}

impl Incident {
    /// Returns whether `other` continues this incident.
    fn continues_as(&self, other: &Self) -> bool {
        self.until_ms == other.from_ms && self.cause == other.cause && self.planned == other.planned
    }
}

#[cfg(test)]
mod tests;
