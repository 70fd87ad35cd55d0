//! The check of the machine's clock.

use std::path::Path;
use std::time::UNIX_EPOCH;

use super::Finding;
use crate::observe::wall_ms;
use graceful_rules::uptime::{CLOCK_SET_MS, DAY_MS};

const CHECK: &str = "clock";

/// The marker of systemd-timesyncd for a synchronized clock.
const SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";

const NEXT: &str =
    "Let the machine get its time from the network, for example with systemd-timesyncd or chrony.";

/// Checks the clock against the dates of files in the data directory.
pub fn clock(folder: &Path) -> Finding {
    judge(
        wall_ms(),
        newest_ms(folder),
        Path::new(SYNCHRONIZED).exists(),
    )
}

fn judge(now_ms: i64, newest_ms: Option<i64>, synchronized: bool) -> Finding {
    if now_ms < CLOCK_SET_MS {
        return Finding::failure(
            CHECK,
            "the clock was never set, so certificates cannot be validated",
            NEXT,
        );
    }
    if newest_ms.is_some_and(|newest_ms| newest_ms > now_ms + DAY_MS) {
        let text = "files in the data directory are dated more than a day ahead: the clock was wrong then or is now";
        return Finding::warning(CHECK, text, NEXT);
    }
    let kept = match synchronized {
        true => "synchronized by systemd-timesyncd",
        false => "plausible; synchronization is unknown",
    };
    Finding::ok(CHECK, kept)
}

/// Returns when the newest file was written.
fn newest_ms(folder: &Path) -> Option<i64> {
    let times = std::fs::read_dir(folder).ok()?.filter_map(|entry| {
        let since = entry
            .ok()?
            .metadata()
            .ok()?
            .modified()
            .ok()?
            .duration_since(UNIX_EPOCH)
            .ok()?;
        i64::try_from(since.as_millis()).ok()
    });
    times.max()
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_clock_is_judged_by_what_is_known() {
        let now = CLOCK_SET_MS + 100 * DAY_MS;
        assert_eq!(judge(0, None, true).level, Level::Failure);
        assert_eq!(
            judge(now, Some(now + 2 * DAY_MS), true).level,
            Level::Warning
        );
        assert_eq!(judge(now, Some(now), true).level, Level::Ok);
        assert!(judge(now, None, false).text.contains("unknown"));
    }
}
