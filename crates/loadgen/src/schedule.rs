//! When a device sends: at scheduled times (open loop), or after each answer (closed loop). Pure: times are
//! durations since the start of the run.
//!
//! In an open loop, latency counts from the scheduled time of a push. A stall of one second then shows in
//! every push of that second, not in one alone ("coordinated omission").

use std::collections::VecDeque;
use std::time::Duration;

/// An open or a closed loop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LoadModel {
    /// A constant number of frames is in flight.
    Closed {
        /// At least one.
        in_flight: usize,
    },
    /// Frame k is scheduled at `first` + k × `interval`.
    Open {
        /// The time of frame 0.
        first: Duration,
        /// Between two frames of this device.
        interval: Duration,
    },
}

/// Frames in flight, and the time of the next.
#[derive(Debug)]
pub struct Schedule {
    pace: LoadModel,
    /// The relay's limit of frames in flight.
    in_flight_max: usize,
    /// Pushes in a frame.
    batch: u64,
    /// End of the schedule.
    until: Duration,
    frames: u32,
    pushed: u64,
    waiting: VecDeque<InFlight>,
}

/// A frame in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct InFlight {
    last: u64,
    intended: Duration,
}

/// A frame that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueFrame {
    /// Push number of its first push.
    pub first: u64,
    /// Its scheduled time.
    pub intended: Duration,
}

impl Schedule {
    /// From push number 1 on.
    pub fn new(pace: LoadModel, in_flight_max: usize, batch: u64, until: Duration) -> Self {
        let in_flight_max = match pace {
            LoadModel::Closed { in_flight } => in_flight.min(in_flight_max),
            LoadModel::Open { .. } => in_flight_max,
        };
        Self {
            pace,
            in_flight_max,
            batch,
            until,
            frames: 0,
            pushed: 0,
            waiting: VecDeque::new(),
        }
    }

    /// The time of the next frame; `None` at the end, or while it waits for an answer.
    pub fn next_moment(&self) -> Option<Duration> {
        match self.pace {
            LoadModel::Closed { .. } => None,
            LoadModel::Open { first, interval } => {
                let moment = first + interval * self.frames;
                (moment < self.until && self.waiting.len() < self.in_flight_max).then_some(moment)
            }
        }
    }

    /// Returns the frame that is due, if any.
    pub fn due(&mut self, now: Duration) -> Option<DueFrame> {
        let intended = match self.pace {
            LoadModel::Closed { .. } => now,
            LoadModel::Open { first, interval } => first + interval * self.frames,
        };
        if intended > now || intended >= self.until || self.waiting.len() >= self.in_flight_max {
            return None;
        }
        let due = DueFrame {
            first: self.pushed + 1,
            intended,
        };
        self.frames += 1;
        self.pushed += self.batch;
        self.waiting.push_back(InFlight {
            last: self.pushed,
            intended,
        });
        Some(due)
    }

    /// Handles an acknowledgement up to this push number. Returns the scheduled times of the answered frames.
    pub fn stored(&mut self, through: u64) -> Vec<Duration> {
        let answered = self
            .waiting
            .iter()
            .take_while(|waiting| waiting.last <= through)
            .count();
        self.waiting
            .drain(..answered)
            .map(|waiting| waiting.intended)
            .collect()
    }

    /// The scheduled times of frames without an answer, sent or not.
    pub fn unanswered(&self, now: Duration) -> Vec<Duration> {
        let mut unanswered: Vec<_> = self
            .waiting
            .iter()
            .map(|waiting| waiting.intended)
            .collect();
        if let LoadModel::Open { first, interval } = self.pace {
            let later = (self.frames..).map(|frame| first + interval * frame);
            unanswered.extend(later.take_while(|moment| *moment < self.until.min(now)));
        }
        unanswered
    }

    /// Pushes sent.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Whether nothing is left to send or to wait for.
    pub fn is_done(&self, now: Duration) -> bool {
        let over = match self.pace {
            LoadModel::Closed { .. } => now >= self.until,
            LoadModel::Open { first, interval } => first + interval * self.frames >= self.until,
        };
        over && self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_relay_that_stands_still_shows_in_every_push_that_was_meant_for_that_time() {
        // A push every 10 ms for two seconds; nothing is answered in the first of them.
        let pace = LoadModel::Open {
            first: ms(0),
            interval: ms(10),
        };
        let mut schedule = Schedule::new(pace, 8, 1, ms(2_000));
        let mut latencies_ms = Vec::new();
        for now in (0..3_000).map(ms) {
            let mut answered = 0;
            loop {
                while schedule.due(now).is_some() {}
                answered = if now < ms(1_000) {
                    answered
                } else {
                    schedule.pushed()
                };
                let stored = schedule.stored(answered);
                if stored.is_empty() {
                    break;
                }
                latencies_ms.extend(stored.iter().map(|intended| (now - *intended).as_millis()));
            }
        }
        assert!(schedule.is_done(ms(3_000)));
        assert_eq!(latencies_ms.len(), 200, "none is left out");
        latencies_ms.sort_unstable();
        // Half of them waited, each for the rest of that second: 1000, 990, … and not one alone.
        assert_eq!(latencies_ms[199], 1_000);
        assert_eq!(
            latencies_ms.iter().filter(|latency| **latency > 0).count(),
            100
        );
        assert_eq!(latencies_ms[150], 510);
    }

    #[test]
    fn what_could_not_leave_counts_as_unanswered() {
        let pace = LoadModel::Open {
            first: ms(5),
            interval: ms(10),
        };
        let mut schedule = Schedule::new(pace, 2, 1, ms(100));
        while schedule.due(ms(50)).is_some() {}
        assert_eq!(schedule.pushed(), 2, "no more than the relay allows");
        assert_eq!(schedule.next_moment(), None, "the next waits for an answer");
        assert_eq!(schedule.unanswered(ms(50)), [5, 15, 25, 35, 45].map(ms));
        assert_eq!(schedule.stored(1), [ms(5)]);
        assert_eq!(schedule.next_moment(), Some(ms(25)));
        assert!(!schedule.is_done(ms(200)));
    }

    #[test]
    fn a_closed_loop_keeps_its_number_in_flight() {
        let mut schedule = Schedule::new(LoadModel::Closed { in_flight: 3 }, 8, 5, ms(100));
        let firsts: Vec<_> = std::iter::from_fn(|| schedule.due(ms(1)))
            .map(|due| due.first)
            .collect();
        assert_eq!(firsts, [1, 6, 11]);
        assert!(
            schedule.stored(9).len() == 1
                && schedule.due(ms(2)).is_some()
                && schedule.due(ms(2)).is_none()
        );
        assert_eq!(schedule.stored(20).len(), 3);
        assert!(schedule.due(ms(100)).is_none() && schedule.is_done(ms(100)));
        assert_eq!(schedule.pushed(), 20);
    }
}
