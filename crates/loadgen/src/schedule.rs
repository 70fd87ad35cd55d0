//! When a device sends: at moments fixed beforehand (open loop), or as soon as it is answered
//! (closed loop). Pure: moments are given as time since the run began.
//!
//! In an open loop a latency counts from the moment at which the push was meant to leave, not from
//! when it could. A relay that stands still for a second therefore shows in every push that was meant
//! for that second, and not in one alone ("coordinated omission").

use std::collections::VecDeque;
use std::time::Duration;

/// How pushes follow each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LoadModel {
    /// So many frames are sent and not yet answered, always.
    Closed {
        /// At least one.
        in_flight: usize,
    },
    /// Frame k is meant for `first` + k × `interval`.
    Open {
        /// The moment of frame 0.
        first: Duration,
        /// Between two frames of this device.
        interval: Duration,
    },
}

/// Frames on their way, and when the next one leaves.
#[derive(Debug)]
pub struct Schedule {
    pace: LoadModel,
    /// Sent and not answered at most: what the relay allows.
    in_flight_max: usize,
    /// Pushes in a frame.
    batch: u64,
    /// No frame is meant for this moment or later.
    until: Duration,
    frames: u32,
    pushed: u64,
    waiting: VecDeque<InFlight>,
}

/// A frame that is not answered yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct InFlight {
    last: u64,
    intended: Duration,
}

/// A frame to send now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueFrame {
    /// Push number of its first push.
    pub first: u64,
    /// When it was meant to leave.
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

    /// When the next frame is meant to leave; `None` when there is none any more, or when it waits for an
    /// answer and not for a moment.
    pub fn next_moment(&self) -> Option<Duration> {
        match self.pace {
            LoadModel::Closed { .. } => None,
            LoadModel::Open { first, interval } => {
                let moment = first + interval * self.frames;
                (moment < self.until && self.waiting.len() < self.in_flight_max).then_some(moment)
            }
        }
    }

    /// The frame to send now, if there is one.
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

    /// Takes note that everything up to this push number is stored. Returns when each frame that is
    /// answered by this was meant to leave.
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

    /// When the frames were meant to leave that are not answered yet, and those that should have left.
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

    /// Pushes that left.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Nothing is left to send or to wait for.
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
