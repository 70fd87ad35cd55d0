//! The wall clock, and the monotonic clock since boot.

use std::time::{SystemTime, UNIX_EPOCH};

use graceful_rules::uptime::ClockReading;

/// Returns the wall clock in milliseconds since 1970.
pub fn wall_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Returns milliseconds since boot, including sleep where the system counts it.
#[cfg(unix)]
pub fn clock_ms() -> u64 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;
    let now = rustix::time::clock_gettime(CLOCK);
    let [seconds, nanoseconds] =
        [now.tv_sec, now.tv_nsec].map(|part| u64::try_from(part).unwrap_or(0));
    seconds * 1_000 + nanoseconds / 1_000_000
}

/// Returns milliseconds since the first call.
#[cfg(not(unix))]
pub fn clock_ms() -> u64 {
    static FIRST: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    u64::try_from(FIRST.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Returns the time on both clocks and in relay time.
pub fn moment(relay_ms: u64) -> ClockReading {
    ClockReading {
        boot: boot(),
        clock_ms: clock_ms(),
        wall_ms: wall_ms(),
        relay_ms,
    }
}

/// Identifies the boot. Where the system has no id, each process counts as a boot: then only the
/// wall clock spans two of them.
fn boot() -> String {
    let system = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    system.map_or_else(
        |_| format!("process {}", std::process::id()),
        |id| id.trim().to_owned(),
    )
}
