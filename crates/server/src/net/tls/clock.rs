//! The wall clock, in which the validity of certificates is written.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// Returns the seconds since 1970.
pub(crate) fn wall_s() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Returns the milliseconds since 1970.
pub(super) fn wall_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Formats a time in UTC.
pub(super) fn format_utc(wall_s: i64) -> String {
    let end = if wall_s < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    Timestamp::from_second(wall_s)
        .unwrap_or(end)
        .strftime("%Y-%m-%d %H:%M UTC")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::format_utc;

    #[test]
    fn moments_are_written_as_people_do() {
        assert_eq!(format_utc(0), "1970-01-01 00:00 UTC");
        assert_eq!(format_utc(951_827_696), "2000-02-29 12:34 UTC");
        assert_eq!(format_utc(1_798_761_599), "2026-12-31 23:59 UTC");
        assert_eq!(format_utc(253_370_764_800), "9999-01-01 00:00 UTC");
        assert!(
            format_utc(253_402_300_799).starts_with("9999-12-"),
            "certificates without an end say this"
        );
        assert_eq!(format_utc(-1), "1969-12-31 23:59 UTC");
    }
}
