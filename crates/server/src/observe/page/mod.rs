//! The public status page of one or several relays, without accounts, devices or their numbers.

mod html;
mod refresh;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::observe::sla::{IncidentSummary, Percentiles};
use crate::observe::sla::{date_of, happened, percentiles, uptime_percent, written};
use graceful_rules::uptime::{self, DAY_MS, Day};

pub use html::{STYLE, page};
pub use refresh::refresh;

/// Days on the page.
pub const DAYS: i64 = 90;

/// Days that the latency covers.
const LATENCY_DAYS: i64 = 30;

/// Listed incidents of a region, the newest.
const INCIDENTS_MAX: usize = 30;

/// The content of `/status.json` and of the page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Regions {
    /// One region per relay.
    pub regions: Vec<Region>,
}

/// The current state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Devices can sync.
    Up,
    /// Planned downtime.
    Maintenance,
    /// Unplanned downtime.
    Down,
}

/// One relay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// When this was measured, in UTC.
    pub made: String,
    /// The state then.
    pub state: State,
    /// Why devices cannot sync.
    pub cause: Option<String>,
    /// Uptime of the last 90 days in percent, rounded down.
    pub uptime_percent: Option<f64>,
    /// Push latency of the last 30 days.
    pub latency: Option<Percentiles>,
    /// The last 90 days, the oldest first.
    pub days: Vec<DaySummary>,
    /// Incidents in these days, the newest first.
    pub incidents: Vec<IncidentSummary>,
    /// Incidents that are not listed.
    pub incidents_more: u64,
}

/// One day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DaySummary {
    /// The date in UTC, like 2026-11-25.
    pub date: String,
    /// Uptime in percent; none without a record.
    pub uptime_percent: Option<f64>,
    /// Unplanned downtime.
    pub down_s: i64,
    /// Planned downtime.
    pub planned_s: i64,
}

impl Region {
    /// Summarizes the days on record.
    pub fn new(
        name: &str,
        all: &BTreeMap<i64, Day>,
        (state, cause): (State, Option<String>),
        now_ms: i64,
    ) -> Self {
        let today = now_ms.div_euclid(DAY_MS);
        let last = |days: i64| today - days + 1..today + 1;
        let none = Day::default();
        let day = |number: i64| {
            let day = all.get(&number).unwrap_or(&none);
            DaySummary {
                date: date_of(number),
                uptime_percent: uptime_percent(day),
                down_s: day.down_ms / 1_000,
                planned_s: day.planned_ms / 1_000,
            }
        };
        let sum = uptime::sum(all, last(DAYS));
        let more = sum.incidents.len().saturating_sub(INCIDENTS_MAX);
        Self {
            name: name.to_owned(),
            made: written(now_ms),
            state,
            cause,
            uptime_percent: uptime_percent(&sum),
            latency: percentiles(&uptime::sum(all, last(LATENCY_DAYS)).latency),
            days: last(DAYS).map(day).collect(),
            incidents: sum
                .incidents
                .iter()
                .rev()
                .take(INCIDENTS_MAX)
                .map(happened)
                .collect(),
            incidents_more: sum.incidents_more + more as u64,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use graceful_rules::latency::bucket;
    use graceful_rules::uptime::Incident;

    /// 2026-11-25 12:00:00.
    pub(crate) const NOW_MS: i64 = 1_795_608_000_000;

    /// 60 days on record, with an outage over midnight and a planned stop.
    pub(crate) fn region(name: &str, state: State) -> Region {
        let today = NOW_MS.div_euclid(DAY_MS);
        let mut all = BTreeMap::new();
        for day in today - 59..=today {
            let mut of = Day {
                up_ms: DAY_MS,
                ..Day::default()
            };
            of.latency.add(bucket(2_000), 100);
            all.insert(day, of);
        }
        let mut away = |day: i64, from_ms: i64, until_ms: i64, planned: bool| {
            let of = all.get_mut(&day).expect("on record");
            of.up_ms -= until_ms - from_ms;
            *(if planned {
                &mut of.planned_ms
            } else {
                &mut of.down_ms
            }) += until_ms - from_ms;
            let cause = if planned {
                "stopped as planned"
            } else {
                "the disk is <nearly> full"
            }
            .to_owned();
            let (from_ms, until_ms) = (day * DAY_MS + from_ms, day * DAY_MS + until_ms);
            of.incidents.push(Incident {
                from_ms,
                until_ms,
                cause,
                planned,
            });
        };
        away(today - 20, DAY_MS - 1_200_000, DAY_MS, false);
        away(today - 19, 0, 2_400_000, false);
        away(today - 5, 3_600_000, 3_900_000, true);
        let cause = (state != State::Up).then(|| "this relay's disk is nearly full".to_owned());
        Region::new(name, &all, (state, cause), NOW_MS)
    }

    #[test]
    fn ninety_days_are_summed_and_what_goes_over_midnight_is_one() {
        let region = region("Frankfurt", State::Up);
        assert_eq!(
            (region.days.len(), region.days[89].date.as_str()),
            (90, "2026-11-25")
        );
        assert_eq!(
            (
                region.days[29].uptime_percent,
                region.days[30].uptime_percent
            ),
            (None, Some(100.0))
        );
        // One hour of 60 days, without the planned five minutes, rounded down.
        assert_eq!(region.uptime_percent, Some(99.930));
        let lasted: Vec<_> = region
            .incidents
            .iter()
            .map(|one| (one.lasted_s, one.planned))
            .collect();
        assert_eq!(lasted, [(300, true), (3_600, false)], "the newest first");
        assert!(region.latency.is_some_and(|latency| latency.p99_ms < 3.0));
    }

    #[test]
    fn what_programs_are_told_can_be_read_back() {
        let regions = Regions {
            regions: vec![region("Frankfurt", State::Down)],
        };
        let text = serde_json::to_string(&regions).expect("JSON");
        assert_eq!(
            serde_json::from_str::<Regions>(&text).expect("JSON"),
            regions
        );
        for word in ["account", "device", "connection", "address"] {
            assert!(!text.contains(word), "{word} in {text}");
        }
    }
}
