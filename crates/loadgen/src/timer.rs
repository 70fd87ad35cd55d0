//! Wakes devices at their scheduled times, on a thread of its own: the runtime's timers have millisecond
//! resolution.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::schedule::LoadModel;

/// Minimum sleep, to leave the processor to others.
const PAUSE_MIN: Duration = Duration::from_micros(100);

/// An even frame rate over all devices in turn.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Interval of all devices together.
    pub frames_per_s: f64,
    /// Number of devices.
    pub devices: usize,
}

impl Rate {
    /// The scheduled time of a frame.
    pub fn moment(&self, frame: u64) -> Duration {
        Duration::from_secs_f64(frame as f64 / self.frames_per_s)
    }

    /// The load model of a device, counted from 0.
    pub fn pace(&self, device: usize) -> LoadModel {
        LoadModel::Open {
            first: self.moment(device as u64),
            interval: self.moment(self.devices as u64),
        }
    }
}

/// The timer thread, stopped on drop.
pub struct Timer {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Timer {
    /// Notifies `wakes` in turn, from `started` on.
    pub fn start(rate: Rate, started: Instant, wakes: Vec<Arc<Notify>>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let seen = over.clone();
        let thread = std::thread::spawn(move || {
            for (frame, wake) in (0_u64..).zip(wakes.iter().cycle()) {
                let moment = started + rate.moment(frame);
                while let Some(left) = moment
                    .checked_duration_since(Instant::now())
                    .filter(|left| !left.is_zero())
                {
                    if seen.load(Ordering::Relaxed) {
                        return;
                    }
                    std::thread::sleep(left.clamp(PAUSE_MIN, Duration::from_millis(100)));
                }
                if seen.load(Ordering::Relaxed) {
                    return;
                }
                wake.notify_one();
            }
        });
        Self {
            over,
            thread: Some(thread),
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_share_a_rate_in_turns() {
        let rate = Rate {
            frames_per_s: 100.0,
            devices: 4,
        };
        let ms = Duration::from_millis;
        assert_eq!(
            rate.pace(0),
            LoadModel::Open {
                first: ms(0),
                interval: ms(40)
            }
        );
        assert_eq!(
            rate.pace(3),
            LoadModel::Open {
                first: ms(30),
                interval: ms(40)
            }
        );
    }

    #[tokio::test]
    async fn each_device_is_woken() {
        let wakes: Vec<_> = (0..3).map(|_| Arc::new(Notify::new())).collect();
        let rate = Rate {
            frames_per_s: 10_000.0,
            devices: 3,
        };
        let timer = Timer::start(rate, Instant::now(), wakes.clone());
        for wake in &wakes {
            wake.notified().await;
        }
        drop(timer);
    }
}
