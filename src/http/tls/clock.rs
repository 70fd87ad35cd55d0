//! The wall clock, for certificates alone: their validity is written in its terms.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970, as this machine believes.
pub(super) fn wall_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The same in milliseconds.
pub(super) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A moment as people write it, in UTC.
pub(super) fn written(wall_s: i64) -> String {
    let (days, second) = (wall_s.div_euclid(86_400), wall_s.rem_euclid(86_400));
    let (year, month, day) = date(days);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

/// The date that lies so many days after 1970 began. Years begin in March here, so that the day
/// that comes and goes is the last of them.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::written;

    #[test]
    fn moments_are_written_as_people_do() {
        assert_eq!(written(0), "1970-01-01 00:00 UTC");
        assert_eq!(written(951_827_696), "2000-02-29 12:34 UTC");
        assert_eq!(written(1_798_761_599), "2026-12-31 23:59 UTC");
        assert_eq!(written(253_402_300_799), "9999-12-31 23:59 UTC");
        assert_eq!(written(-1), "1969-12-31 23:59 UTC");
    }
}
