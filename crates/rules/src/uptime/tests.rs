//! Lives of a relay, and the days they come to.

use super::*;
use crate::latency::bucket;

/// 2026-11-02 00:00 UTC.
const MONDAY_MS: i64 = 1_793_577_600_000;
const HOUR_MS: u64 = 3_600_000;
const PLANNED_MAX_MS: i64 = 30 * 60_000;

fn at(boot: &str, clock_ms: u64, wall_ms: i64) -> ClockReading {
    ClockReading {
        boot: boot.to_owned(),
        clock_ms,
        wall_ms,
        relay_ms: 0,
    }
}

/// A moment of a machine that was switched on on Monday at midnight, with the right time.
fn right(clock_ms: u64) -> ClockReading {
    at("a", clock_ms, MONDAY_MS + signed(clock_ms))
}

fn started(at: ClockReading) -> Record {
    Record::Started { at }
}

fn folded(at: ClockReading, lasted_ms: u64) -> Record {
    Record::Interval {
        at,
        lasted_ms,
        latency: Latency::default(),
        outages: Vec::new(),
    }
}

fn stopped(at: ClockReading) -> Record {
    Record::Stopped { at, planned: true }
}

/// Up, down and planned time of all days, in seconds, and the incidents.
fn sums(records: &[Record], now: Option<&ClockReading>) -> ((i64, i64, i64), Vec<Incident>) {
    let days = days(records, PLANNED_MAX_MS, now);
    let sum = |of: fn(&Day) -> i64| days.values().map(of).sum::<i64>() / 1_000;
    let incidents = days
        .values()
        .flat_map(|day| day.incidents.clone())
        .collect();
    (
        (
            sum(|day| day.up_ms),
            sum(|day| day.down_ms),
            sum(|day| day.planned_ms),
        ),
        incidents,
    )
}

#[test]
fn crash_counts_from_last_commit() {
    let mut again = started(right(3 * HOUR_MS));
    let records = [started(right(0)), folded(right(HOUR_MS), HOUR_MS)];
    let life = |again: &Record| {
        [
            &records[..],
            &[again.clone(), folded(right(4 * HOUR_MS), HOUR_MS)],
        ]
        .concat()
    };
    let (all, incidents) = sums(&life(&again), None);
    assert_eq!(all, (7_200, 7_200, 0));
    assert_eq!((incidents.len(), incidents[0].cause.as_str()), (1, CRASHED));
    // Its store was written to half an hour after it last made a note.
    let mut seen = |relay_ms: u64| {
        if let Record::Started { at } = &mut again {
            at.relay_ms = relay_ms;
        }
        sums(&life(&again), None).0
    };
    assert_eq!(seen(1_800_000), (9_000, 5_400, 0));
    // However that may be, it did not run for longer than it was.
    assert_eq!(seen(24 * HOUR_MS), (14_400, 0, 0));
}

#[test]
fn planned_stop_turns_into_downtime_after_limit() {
    let life = |again_ms: u64| {
        let run = [
            started(right(0)),
            folded(right(HOUR_MS), HOUR_MS),
            stopped(right(HOUR_MS)),
        ];
        [
            &run[..],
            &[
                started(right(again_ms)),
                folded(right(again_ms + HOUR_MS), HOUR_MS),
            ],
        ]
        .concat()
    };
    assert_eq!(sums(&life(HOUR_MS + 60_000), None).0, (7_200, 0, 60));
    let (all, incidents) = sums(&life(3 * HOUR_MS), None);
    assert_eq!(all, (7_200, 5_400, 1_800));
    let causes: Vec<_> = incidents
        .iter()
        .map(|incident| incident.cause.as_str())
        .collect();
    assert_eq!(causes, [STOPPED, STOPPED_LONG]);
}

#[test]
fn time_since_last_run_counts_until_now() {
    let run = [started(right(0)), folded(right(HOUR_MS), HOUR_MS)];
    assert_eq!(sums(&run, Some(&right(2 * HOUR_MS))).0, (3_600, 3_600, 0));
}

#[test]
fn wall_clock_jump_during_run_changes_nothing() {
    let steady = [
        started(right(0)),
        folded(right(HOUR_MS), HOUR_MS),
        folded(right(2 * HOUR_MS), HOUR_MS),
    ];
    // Ten hours forth after the start, and back to the right time at the end.
    let mut jumping = steady.clone();
    if let Record::Interval { at, .. } = &mut jumping[1] {
        at.wall_ms += 36_000_000;
    }
    assert_eq!(
        days(&jumping, PLANNED_MAX_MS, None),
        days(&steady, PLANNED_MAX_MS, None)
    );
}

#[test]
fn run_with_late_clock_is_placed_by_last_reading() {
    let steady = [
        started(right(0)),
        folded(right(HOUR_MS), HOUR_MS),
        folded(right(2 * HOUR_MS), HOUR_MS),
    ];
    let mut board = steady.clone();
    board[0] = started(at("a", 0, 0));
    assert_eq!(
        days(&board, PLANNED_MAX_MS, None),
        days(&steady, PLANNED_MAX_MS, None)
    );
}

#[test]
fn run_without_set_clock_follows_previous_run() {
    let life = [
        started(right(0)),
        folded(right(HOUR_MS), HOUR_MS),
        started(at("b", 10_000, 10_000)),
        folded(at("b", 10_000 + HOUR_MS, 10_000 + signed(HOUR_MS)), HOUR_MS),
        started(at("c", 5_000, MONDAY_MS + 4 * signed(HOUR_MS))),
        folded(
            at("c", 5_000 + HOUR_MS, MONDAY_MS + 5 * signed(HOUR_MS)),
            HOUR_MS,
        ),
    ];
    // Four hours between the first note and the third start: two of them it ran.
    assert_eq!(sums(&life, None).0, (3 * 3_600, 2 * 3_600, 0));
}

#[test]
fn gap_within_boot_ignores_wall_clock() {
    for jump_ms in [-7_200_000, 0, 86_400_000] {
        let later = |clock_ms: u64| at("a", clock_ms, MONDAY_MS + signed(clock_ms) + jump_ms);
        let life = [
            started(right(0)),
            folded(right(HOUR_MS), HOUR_MS),
            started(later(HOUR_MS + 60_000)),
            folded(later(2 * HOUR_MS + 60_000), HOUR_MS),
        ];
        assert_eq!(sums(&life, None).0, (7_200, 60, 0), "{jump_ms}");
    }
}

#[test]
fn clock_set_back_between_boots_adds_no_downtime() {
    let life = [
        started(right(10 * HOUR_MS)),
        folded(right(11 * HOUR_MS), HOUR_MS),
        started(at("b", 0, MONDAY_MS)),
        folded(at("b", HOUR_MS, MONDAY_MS + signed(HOUR_MS)), HOUR_MS),
    ];
    let (all, incidents) = sums(&life, None);
    assert_eq!(all, (7_200, 0, 0));
    assert_eq!(
        incidents
            .iter()
            .map(|incident| incident.cause.as_str())
            .collect::<Vec<_>>(),
        [CLOCK]
    );
}

#[test]
fn outage_splits_at_midnight_and_sums_to_one() {
    let mut latency = Latency::default();
    latency.add(bucket(2_000), 5);
    let night = |from_ms: u64, until_ms: u64| Outage {
        from_ms,
        until_ms,
        cause: "x".into(),
        planned: false,
    };
    let records = [
        started(right(22 * HOUR_MS)),
        Record::Interval {
            at: right(23 * HOUR_MS),
            lasted_ms: HOUR_MS,
            latency,
            outages: vec![night(22 * HOUR_MS + 60_000, 23 * HOUR_MS)],
        },
        Record::Interval {
            at: right(25 * HOUR_MS),
            lasted_ms: 2 * HOUR_MS,
            latency: Latency::default(),
            outages: vec![night(23 * HOUR_MS, 24 * HOUR_MS + 60_000)],
        },
    ];
    let days = days(&records, PLANNED_MAX_MS, None);
    let monday = &days[&MONDAY_MS.div_euclid(DAY_MS)];
    let tuesday = &days[&(MONDAY_MS.div_euclid(DAY_MS) + 1)];
    assert_eq!(
        (monday.up_ms, monday.down_ms, monday.incidents.len()),
        (60_000, 7_140_000, 1)
    );
    assert_eq!(
        (tuesday.up_ms, tuesday.down_ms, tuesday.incidents.len()),
        (3_540_000, 60_000, 1)
    );
    assert!(monday.incidents[0].continues_as(&tuesday.incidents[0]));
    assert_eq!(monday.latency.count(), 5);
}

#[test]
fn compacted_records_give_same_days() {
    let run = |from: u64| {
        [
            started(right(from)),
            folded(right(from + HOUR_MS), HOUR_MS),
            stopped(right(from + HOUR_MS)),
        ]
    };
    let all = [run(0), run(2 * HOUR_MS), run(30 * HOUR_MS)].concat();
    // At every place where the record may be settled: between runs, and in the middle of one.
    for cut in 0..=all.len() {
        let records = [&compact(&all[..cut], PLANNED_MAX_MS)[..], &all[cut..]].concat();
        assert_eq!(
            days(&records, PLANNED_MAX_MS, None),
            days(&all, PLANNED_MAX_MS, None),
            "{cut}"
        );
    }
    assert_eq!(compact(&all, PLANNED_MAX_MS).len(), 2 + 1);
}

#[test]
fn day_lists_bounded_incidents_and_counts_rest() {
    let mut day = Day::default();
    for number in 0..DAY_INCIDENTS_MAX as i64 + 7 {
        day.note(Incident {
            from_ms: number * 10,
            until_ms: number * 10 + 1,
            cause: "x".into(),
            planned: false,
        });
    }
    assert_eq!(
        (day.incidents.len(), day.incidents_more),
        (DAY_INCIDENTS_MAX, 7)
    );
}
