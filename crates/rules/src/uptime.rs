//! From what was noted of a relay's life to the days of its uptime.
//!
//! Lengths are measured by the machine's own clock since it was switched on, which nobody can set;
//! the wall clock only says where in the calendar they belong. So a wall clock that jumps while the
//! relay runs, or between two runs of one boot, neither invents downtime nor hides any.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::latency::Latency;

/// Milliseconds of a day.
pub const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// A wall clock before this has not been set: 2024-01-01, in milliseconds since 1970.
pub const CLOCK_SET_MS: i64 = 1_704_067_200_000;

/// Incidents of one day that are kept one by one.
pub const DAY_INCIDENTS_MAX: usize = 100;

/// A moment, on both clocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockReading {
    /// Which time the machine was switched on: within one of these the next field can be compared.
    pub boot: String,
    /// Milliseconds since then, sleep included.
    pub clock_ms: u64,
    /// Milliseconds since 1970, as the wall clock believed.
    pub wall_ms: i64,
    /// The relay's own time ([`super::RelayTime`]), which its store keeps with each commit: at a start it
    /// says how long the run before went on after its last note.
    pub relay_ms: u64,
}

/// While a relay ran, something was the matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// From here, by [`ClockReading::clock_ms`].
    pub from_ms: u64,
    /// To here.
    pub until_ms: u64,
    /// In words.
    pub cause: String,
    /// Somebody meant it to be so.
    pub planned: bool,
}

/// One thing noted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// The relay began.
    Started {
        /// When.
        at: ClockReading,
    },
    /// It has been running for a while.
    #[serde(rename = "folded")]
    Interval {
        /// The end of that while.
        at: ClockReading,
        /// How long it was.
        lasted_ms: u64,
        /// Pushes in it.
        latency: Latency,
        /// What was the matter meanwhile.
        #[serde(rename = "troubles")]
        outages: Vec<Outage>,
    },
    /// It ended in an orderly way.
    Stopped {
        /// When.
        at: ClockReading,
        /// It was told to.
        planned: bool,
    },
    /// What earlier runs come to, day by day.
    #[serde(rename = "settled")]
    DaySummary {
        /// Days since 1970.
        day: i64,
        /// What it was like.
        #[serde(flatten)]
        of: Day,
    },
}

/// One day, in the calendar of UTC.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Day {
    /// The relay was there for its devices.
    pub up_ms: i64,
    /// It was not, and nobody meant it so.
    pub down_ms: i64,
    /// It was not, as planned.
    pub planned_ms: i64,
    /// Pushes.
    pub latency: Latency,
    /// What happened.
    pub incidents: Vec<Incident>,
    /// Incidents beyond [`DAY_INCIDENTS_MAX`], counted in above and not listed.
    pub incidents_more: u64,
}

/// Something that happened, or the part of it that lies in one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// From here, in milliseconds since 1970.
    pub from_ms: i64,
    /// To here.
    pub until_ms: i64,
    /// In words.
    pub cause: String,
    /// Somebody meant it to be so: it does not count.
    pub planned: bool,
}

/// Why it was not there between two runs.
const STOPPED: &str = "stopped as planned";
const STOPPED_LONG: &str = "not started again for long after a planned stop";
const CRASHED: &str = "not running, without having been told to stop";
const CLOCK: &str = "not running; for how long is not known, for the clock went back meanwhile";

/// Days under construction.
#[derive(Debug, Default)]
struct Days {
    days: BTreeMap<i64, Day>,
    planned_stop_max_ms: i64,
}

/// The end of one run.
#[derive(Debug, Clone)]
struct RunEnd {
    at: ClockReading,
    /// Where in the calendar it belongs.
    wall_ms: i64,
    planned: bool,
}

/// Days since 1970, each with what was noted of it. `now` is given where no relay runs: the time since
/// the last run counts then, too. A planned stop is a planned one for `planned_stop_max_ms`; what comes
/// after that is downtime.
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

/// Several of these days as one: what lasted is added up, and what went on over midnight is one incident.
pub fn sum(all: &BTreeMap<i64, Day>, which: Range<i64>) -> Day {
    let mut sum = Day::default();
    for (_, day) in all.range(which) {
        sum.add(day, usize::MAX);
    }
    sum
}

/// The same in fewer records: a day each, and where the last run ended or has come to.
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

/// The moments of a record that belongs to a run.
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
    /// One run, and the time between it and the one before.
    fn run(&mut self, run: &[Record], before: Option<&RunEnd>) -> Option<RunEnd> {
        let (first, anchor) = (reading(run.first()?)?, reading(run.last()?)?);
        // The last word on the time is the best: a board boots in 1970 and learns the date later.
        let mut offset_ms = anchor.wall_ms - signed(anchor.clock_ms);
        let floats = anchor.wall_ms < CLOCK_SET_MS;
        if floats {
            // Its length is known, its date is not: it follows on what is known.
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

    /// The time between the end of one run and the begin of the next.
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
        // It was alive when it last committed, whenever it last made a note.
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

/// The days that a while touches, each with its part of it.
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
    /// Counts in what is known of the same day from elsewhere.
    pub fn merge(&mut self, other: &Self) {
        self.add(other, DAY_INCIDENTS_MAX);
    }

    /// Adds what lasted, and lists so many incidents at most.
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

    /// One that goes on is one.
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
    /// Whether the other one is the same, where this one ends.
    fn continues_as(&self, other: &Self) -> bool {
        self.until_ms == other.from_ms && self.cause == other.cause && self.planned == other.planned
    }
}

#[cfg(test)]
mod tests;
