//! A time span as people write it: `30m`, `12h`, `7d`.

use std::time::Duration;

/// Invitations are forgotten in drawers; none is good for longer.
const LIFETIME_S_MAX: u64 = 90 * 24 * 60 * 60;
/// Shorter than it takes to type one.
const LIFETIME_S_MIN: u64 = 60;

pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let help = || "give a number and a unit: 30m, 12h or 7d (from 1m to 90d)".to_owned();
    let (digits, unit) = text.split_at(
        text.find(|letter: char| !letter.is_ascii_digit())
            .ok_or_else(help)?,
    );
    let unit_s: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(help()),
    };
    let number: u64 = digits.parse().map_err(|_| help())?;
    let seconds = number.saturating_mul(unit_s);
    if !(LIFETIME_S_MIN..=LIFETIME_S_MAX).contains(&seconds) {
        return Err(help());
    }
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_numbers_with_units() {
        assert_eq!(parse("7d"), Ok(Duration::from_secs(604_800)));
        assert_eq!(parse("30m"), Ok(Duration::from_secs(1_800)));
        for wrong in [
            "",
            "7",
            "d",
            "7 days",
            "-1d",
            "0d",
            "91d",
            "1s",
            "99999999999999999999d",
            "7ü",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
