//! The report of one month.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use graceful_rules::latency::Latency;
use graceful_rules::sla::SlaTerms;
use graceful_rules::uptime::{self, ClockReading, DAY_MS, Day, Incident, days};

use super::UptimeLog;

/// A calendar month in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(Date);

/// The day that days are counted from.
const EPOCH: Date = jiff::civil::date(1970, 1, 1);

impl Month {
    /// Returns the month of this time.
    pub fn of(wall_ms: i64) -> Self {
        let end = if wall_ms < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        };
        let moment = Timestamp::from_millisecond(wall_ms).unwrap_or(end);
        Self(
            jiff::tz::Offset::UTC
                .to_datetime(moment)
                .date()
                .first_of_month(),
        )
    }

    /// Returns the month before.
    #[must_use]
    pub fn before(self) -> Self {
        Self(self.0.yesterday().map_or(self.0, Date::first_of_month))
    }

    /// Returns the first day and the first of the next month, counted from 1970.
    fn days(self) -> (i64, i64) {
        let first = day_number(self.0);
        (first, first + i64::from(self.0.days_in_month()))
    }

    /// Returns whether the month is over.
    pub fn is_over(self, wall_ms: i64) -> bool {
        Self::of(wall_ms) > self
    }
}

impl FromStr for Month {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let date = text
            .len()
            .eq(&7)
            .then(|| format!("{text}-01").parse::<Date>().ok())
            .flatten();
        date.map(Self)
            .ok_or_else(|| "a month is written like 2026-11".to_owned())
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime("%Y-%m"))
    }
}

fn day_number(date: Date) -> i64 {
    date.since(EPOCH)
        .map_or(0, |span| i64::from(span.get_days()))
}

/// Formats a time in UTC: `2026-11-24 23:05:09`.
pub(crate) fn written(wall_ms: i64) -> String {
    let end = if wall_ms < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    Timestamp::from_millisecond(wall_ms)
        .unwrap_or(end)
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}

/// Formats a day counted from 1970: `2026-11-24`.
pub(crate) fn date_of(day: i64) -> String {
    written(day * DAY_MS)[..10].to_owned()
}

/// Percentiles of the push latency in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// The median.
    pub p50_ms: f64,
    /// The 95th percentile.
    pub p95_ms: f64,
    /// The 99th percentile.
    pub p99_ms: f64,
}

/// An incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentSummary {
    /// The start in UTC.
    pub from: String,
    /// The end in UTC.
    pub until: String,
    /// The duration.
    pub lasted_s: i64,
    /// The cause for people.
    pub cause: String,
    /// Planned incidents do not count.
    pub planned: bool,
}

/// One day of the report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DaySummary {
    /// The day of the month.
    pub day: u8,
    /// Uptime in percent; none without a record.
    pub uptime_percent: Option<f64>,
    /// Unplanned downtime.
    pub down_s: i64,
    /// Planned downtime.
    pub planned_s: i64,
    /// Stored pushes.
    pub pushes: u64,
    /// Their latency.
    pub latency: Option<Percentiles>,
}

/// The report of a month.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The month.
    pub month: String,
    /// Whether the month is over.
    pub is_over: bool,
    /// When the report was created, in UTC.
    pub made: String,
    /// The uptime target of the SLA.
    pub target_percent: f64,
    /// Uptime in percent without planned stops, rounded down.
    pub uptime_percent: Option<f64>,
    /// Whether the target was met.
    pub target_met: Option<bool>,
    /// The credit in percent of the month's price.
    pub credit_percent: f64,
    /// Uptime.
    pub up_s: i64,
    /// Unplanned downtime.
    pub down_s: i64,
    /// Planned downtime.
    pub planned_s: i64,
    /// Time of the month so far without a record.
    pub unrecorded_s: i64,
    /// Stored pushes.
    pub pushes: u64,
    /// From the commit queue to the disk.
    pub latency: Option<Percentiles>,
    /// Incidents.
    pub incidents: Vec<IncidentSummary>,
    /// Incidents that count but are not listed.
    pub incidents_more: u64,
    /// The days.
    pub days: Vec<DaySummary>,
}

impl Report {
    /// Reports one month at `now`. If the relay is not running, the time since its last run counts
    /// as downtime.
    pub fn new(
        uptime_log: &UptimeLog,
        sla_terms: &SlaTerms,
        month: Month,
        now: &ClockReading,
        running: bool,
    ) -> Self {
        let all = days(
            uptime_log.records(),
            uptime_log.planned_stop_max_ms(),
            (!running).then_some(now),
        );
        Self::of_days(&all, sla_terms, month, now.wall_ms)
    }

    fn of_days(all: &BTreeMap<i64, Day>, sla_terms: &SlaTerms, month: Month, now_ms: i64) -> Self {
        let (first, end) = month.days();
        let none = Day::default();
        let one = |(number, day): (u8, i64)| {
            let of = all.get(&day).unwrap_or(&none);
            DaySummary {
                day: number,
                uptime_percent: uptime_percent(of),
                down_s: of.down_ms / 1_000,
                planned_s: of.planned_ms / 1_000,
                pushes: of.latency.count(),
                latency: percentiles(&of.latency),
            }
        };
        let sum = uptime::sum(all, first..end);
        let until_ms = (end * DAY_MS).min(now_ms.max(first * DAY_MS));
        let recorded_ms = sum.up_ms + sum.down_ms + sum.planned_ms;
        let uptime = uptime_percent(&sum);
        Self {
            month: month.to_string(),
            is_over: month.is_over(now_ms),
            made: written(now_ms),
            target_percent: sla_terms.target_percent,
            uptime_percent: uptime,
            target_met: uptime.map(|uptime| uptime >= sla_terms.target_percent),
            credit_percent: uptime.map_or(0.0, |uptime| sla_terms.credit_percent(uptime)),
            up_s: sum.up_ms / 1_000,
            down_s: sum.down_ms / 1_000,
            planned_s: sum.planned_ms / 1_000,
            unrecorded_s: (until_ms - first * DAY_MS - recorded_ms).max(0) / 1_000,
            pushes: sum.latency.count(),
            latency: percentiles(&sum.latency),
            incidents: sum.incidents.iter().map(happened).collect(),
            incidents_more: sum.incidents_more,
            days: (1..).zip(first..end).map(one).collect(),
        }
    }

    /// Returns whether the month has a record.
    pub fn has_record(&self) -> bool {
        self.up_s + self.down_s + self.planned_s > 0
    }
}

pub(crate) fn happened(incident: &Incident) -> IncidentSummary {
    IncidentSummary {
        from: written(incident.from_ms),
        until: written(incident.until_ms),
        lasted_s: (incident.until_ms - incident.from_ms) / 1_000,
        cause: incident.cause.clone(),
        planned: incident.planned,
    }
}

/// Returns the uptime in percent, rounded down to three places.
pub(crate) fn uptime_percent(day: &Day) -> Option<f64> {
    let counts = day.up_ms + day.down_ms;
    #[expect(clippy::cast_precision_loss, reason = "at most 100,000")]
    let percent = |thousandths: i128| thousandths as f64 / 1_000.0;
    (counts > 0).then(|| percent(i128::from(day.up_ms) * 100_000 / i128::from(counts)))
}

pub(crate) fn percentiles(latency: &Latency) -> Option<Percentiles> {
    let within = |percent| {
        latency
            .percentile_ms(percent)
            .map(|ms| (ms * 100.0).round() / 100.0)
    };
    Some(Percentiles {
        p50_ms: within(50)?,
        p95_ms: within(95)?,
        p99_ms: within(99)?,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use graceful_rules::latency::bucket;
    use graceful_rules::sla::Credit;

    pub(crate) fn sla_terms() -> SlaTerms {
        let credits = vec![
            Credit {
                below_percent: 99.0,
                credit_percent: 25.0,
            },
            Credit {
                below_percent: 99.9,
                credit_percent: 10.0,
            },
        ];
        SlaTerms {
            target_percent: 99.9,
            credits,
            planned_stop_max_ms: 3_600_000,
            reports_max: 2,
        }
    }

    /// November 2026: an outage over the 3rd and the 4th, a planned stop on the 10th.
    pub(crate) fn november() -> Report {
        let month: Month = "2026-11".parse().expect("a month");
        let (first, end) = month.days();
        let mut all = BTreeMap::new();
        for day in first..end {
            let mut of = Day {
                up_ms: DAY_MS,
                ..Day::default()
            };
            let busy = u64::try_from(day - first).expect("small");
            of.latency.add(bucket(900 + busy * 40), 950);
            of.latency.add(bucket(6_000 + busy * 300), 45);
            of.latency.add(bucket(40_000), 5);
            all.insert(day, of);
        }
        let mut away = |day: i64, from_ms: i64, until_ms: i64, planned: bool| {
            let of = all.get_mut(&(first + day - 1)).expect("of the month");
            let start = (first + day - 1) * DAY_MS;
            of.up_ms -= until_ms - from_ms;
            *(if planned {
                &mut of.planned_ms
            } else {
                &mut of.down_ms
            }) += until_ms - from_ms;
            let cause = if planned {
                "stopped as planned"
            } else {
                "the disk is nearly full"
            }
            .to_owned();
            of.incidents.push(Incident {
                from_ms: start + from_ms,
                until_ms: start + until_ms,
                cause,
                planned,
            });
        };
        away(3, DAY_MS - 1_200_000, DAY_MS, false);
        away(4, 0, 2_400_000, false);
        away(10, 7_200_000, 7_500_000, true);
        Report::of_days(&all, &sla_terms(), month, end * DAY_MS + 3_600_000)
    }

    #[test]
    fn a_month_is_summed_and_what_goes_over_midnight_is_one_incident() {
        let report = november();
        assert_eq!(
            (report.down_s, report.planned_s, report.unrecorded_s),
            (3_600, 300, 0)
        );
        assert_eq!(report.uptime_percent, Some(99.861));
        assert_eq!(
            (report.target_met, report.credit_percent),
            (Some(false), 10.0)
        );
        let lasted: Vec<_> = report
            .incidents
            .iter()
            .map(|one| (one.lasted_s, one.planned))
            .collect();
        assert_eq!(lasted, [(3_600, false), (300, true)]);
        assert_eq!(report.incidents[0].from, "2026-11-03 23:40:00");
        assert_eq!((report.days.len(), report.pushes), (30, 30_000));
        assert!(report.is_over && report.latency.is_some_and(|latency| latency.p99_ms < 30.0));
    }

    #[test]
    fn uptime_is_never_rounded_up() {
        let day = Day {
            up_ms: DAY_MS - 1,
            down_ms: 1,
            ..Day::default()
        };
        assert_eq!(uptime_percent(&day), Some(99.999));
        assert_eq!(uptime_percent(&Day::default()), None);
    }

    #[test]
    fn months_are_read_and_written_as_people_do() {
        let month: Month = "2028-02".parse().expect("a month");
        assert_eq!(
            (month.to_string(), month.before().to_string()),
            ("2028-02".into(), "2028-01".into())
        );
        let (first, end) = month.days();
        assert_eq!(end - first, 29);
        assert_eq!(
            (Month::of(first * DAY_MS), Month::of(end * DAY_MS - 1)),
            (month, month)
        );
        assert_ne!(Month::of(end * DAY_MS), month);
        for wrong in ["", "2026", "2026-13", "2026-1", "11-2026", "2026-11-01"] {
            assert!(wrong.parse::<Month>().is_err(), "{wrong}");
        }
    }
}
