//! Dates in UTC.

use jiff::Timestamp;

/// `2026-11-24 23:05:09 UTC`, from seconds since 1970.
pub(super) fn utc(seconds: u64) -> String {
    let moment = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok());
    moment
        .unwrap_or(Timestamp::MAX)
        .strftime("%Y-%m-%d %H:%M:%S UTC")
        .to_string()
}
