//! Values with units: `"75s"`, `"16 MiB"`, `"300/min"`, `"25%"`.
//!
//! Each type parses and prints the same form, so `config show` prints what a file may contain.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::{Span, SpanRelativeTo, Unit};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A duration: `75s`, `10m`, `1h 30m`, `30d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanDuration(pub Duration);

/// A size in bytes: `512 KiB`, `16 MiB`, `2GB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Events in a period: `300/min`; `None` is `unlimited`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(pub Option<(u64, Period)>);

/// Bytes in a second: `16 MiB/s`; `None` is `unlimited`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRate(pub Option<ByteSize>);

/// A percentage: `25%`, `99.9%`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Percent(pub f64);

/// A value, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrOff<T>(pub Option<T>);

/// The period of a [`Rate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// `/s`
    Second,
    /// `/min`
    Minute,
    /// `/h`
    Hour,
}

const OFF: &str = "off";
const UNLIMITED: &str = "unlimited";

/// Largest first, as they are printed.
const DURATIONS_MS: [(u64, &str); 5] = [
    (86_400_000, "d"),
    (3_600_000, "h"),
    (60_000, "m"),
    (1_000, "s"),
    (1, "ms"),
];

/// Largest first within each base, as they are printed.
const SIZES: [(u64, &str); 8] = [
    (1 << 40, "TiB"),
    (1 << 30, "GiB"),
    (1 << 20, "MiB"),
    (1 << 10, "KiB"),
    (1_000_000_000_000, "TB"),
    (1_000_000_000, "GB"),
    (1_000_000, "MB"),
    (1_000, "KB"),
];

impl HumanDuration {
    /// From whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Whole seconds, saturating.
    pub fn seconds(self) -> u32 {
        u32::try_from(self.0.as_secs()).unwrap_or(u32::MAX)
    }
}

impl FromStr for HumanDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || invalid(text, "duration", "ms, s, m, h, d", "s");
        // ISO 8601 ("PT75S"), signs and "ago" are jiff's, not ours.
        if !text.starts_with(|first: char| first.is_ascii_digit()) || text.contains("ago") {
            return Err(wrong());
        }
        let span: Span = text.parse().map_err(|_| wrong())?;
        let days = SpanRelativeTo::days_are_24_hours();
        let ms = span.total((Unit::Millisecond, days)).map_err(|_| wrong())?;
        Ok(Self(Duration::from_millis(ms.round() as u64)))
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let exact = |(unit_ms, _): &&(u64, &str)| ms % unit_ms == 0;
        match DURATIONS_MS.iter().find(exact) {
            Some((unit_ms, unit)) if ms > 0 => write!(f, "{}{unit}", ms / unit_ms),
            _ => f.write_str("0s"),
        }
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            invalid(
                text,
                "size",
                "B, KB, MB, GB, TB, KiB, MiB, GiB, TiB",
                " MiB",
            )
        };
        let (number, unit) = number_and_rest(text).ok_or_else(wrong)?;
        let known = SIZES
            .iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(unit));
        let unit_bytes = match known {
            Some((bytes, _)) => *bytes,
            None if unit == "B" => 1,
            None => return Err(wrong()),
        };
        let bytes = match number.parse::<u64>() {
            Ok(whole) => whole.checked_mul(unit_bytes),
            Err(_) => number
                .parse::<f64>()
                .ok()
                .map(|number| (number * unit_bytes as f64).round() as u64),
        };
        bytes.map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = SIZES
            .iter()
            .filter(|(bytes, _)| self.0 > 0 && self.0.is_multiple_of(*bytes));
        match exact.min_by_key(|(bytes, _)| self.0 / bytes) {
            Some((bytes, unit)) => write!(f, "{} {unit}", self.0 / bytes),
            None => write!(f, "{} B", self.0),
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == UNLIMITED {
            return Ok(Self(None));
        }
        let wrong = || invalid(text, "rate", "/s, /min, /h, or \"unlimited\"", "/min");
        let (count, period) = text.split_once('/').ok_or_else(wrong)?;
        let count: u64 = count.trim().replace('_', "").parse().map_err(|_| wrong())?;
        let period = match period.trim() {
            "s" | "sec" | "second" => Period::Second,
            "m" | "min" | "minute" => Period::Minute,
            "h" | "hour" => Period::Hour,
            _ => return Err(wrong()),
        };
        match count {
            0 => Err(format!(
                "is {text:?}; a rate is at least 1, or \"{UNLIMITED}\""
            )),
            count => Ok(Self(Some((count, period)))),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((count, period)) = self.0 else {
            return f.write_str(UNLIMITED);
        };
        let period = match period {
            Period::Second => "s",
            Period::Minute => "min",
            Period::Hour => "h",
        };
        write!(f, "{count}/{period}")
    }
}

impl FromStr for ByteRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == UNLIMITED {
            return Ok(Self(None));
        }
        let wrong = || {
            invalid(
                text,
                "bandwidth",
                "KiB/s, MiB/s, GiB/s, or \"unlimited\"",
                " MiB/s",
            )
        };
        let size = text.strip_suffix("/s").ok_or_else(wrong)?;
        match size.trim_end().parse().map_err(|_: String| wrong())? {
            ByteSize(0) => Err(format!(
                "is {text:?}; a bandwidth is at least 1 B/s, or \"{UNLIMITED}\""
            )),
            size => Ok(Self(Some(size))),
        }
    }
}

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(size) => write!(f, "{size}/s"),
            None => f.write_str(UNLIMITED),
        }
    }
}

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || invalid(text, "percentage", "%", "%");
        let (number, unit) = number_and_rest(text).ok_or_else(wrong)?;
        match number.parse::<f64>() {
            Ok(percent) if unit == "%" && percent <= 100.0 => Ok(Self(percent)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl<T: FromStr<Err = String>> FromStr for OrOff<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            OFF => Ok(Self(None)),
            text => text.parse().map(|value| Self(Some(value))),
        }
    }
}

impl<T: fmt::Display> fmt::Display for OrOff<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str(OFF),
        }
    }
}

/// The digits at the start, without `_`, and what follows them.
fn number_and_rest(text: &str) -> Option<(String, &str)> {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.' && letter != '_');
    let (number, rest) = text.split_at(end.unwrap_or(text.len()));
    (!number.is_empty()).then(|| (number.replace('_', ""), rest.trim_start()))
}

/// Says what is missing, with the number that was written: `"75"` -> `like "75s"`.
fn invalid(text: &str, what: &str, units: &str, unit: &str) -> String {
    let number = number_and_rest(text).map_or("10".to_owned(), |(number, _)| number);
    let bare = !text.is_empty() && text.chars().all(|letter| letter.is_ascii_digit());
    let lack = if bare {
        "needs a unit"
    } else {
        "must be a number with a unit"
    };
    format!("is {text:?}; a {what} {lack}, like \"{number}{unit}\" ({units})")
}

macro_rules! as_text {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

as_text!(
    HumanDuration,
    ByteSize,
    Rate,
    ByteRate,
    Percent,
    OrOff<HumanDuration>
);

#[cfg(test)]
mod tests {
    use super::*;

    fn printed<T: FromStr<Err = String> + fmt::Display>(text: &str) -> String {
        match text.parse::<T>() {
            Ok(value) => value.to_string(),
            Err(error) => error,
        }
    }

    #[test]
    fn durations_print_in_the_largest_exact_unit() {
        for (written, expected) in [
            ("75s", "75s"),
            ("600s", "10m"),
            ("10 min", "10m"),
            ("1h 30m", "90m"),
            ("1.5h", "90m"),
            ("30d", "30d"),
            ("0s", "0s"),
            ("250ms", "250ms"),
        ] {
            assert_eq!(printed::<HumanDuration>(written), expected);
        }
    }

    #[test]
    fn sizes_print_in_the_shortest_exact_unit() {
        for (written, expected) in [
            ("16 MiB", "16 MiB"),
            ("1_048_576 B", "1 MiB"),
            ("2GB", "2 GB"),
            ("1200KiB", "1200 KiB"),
            ("1.5 GiB", "1536 MiB"),
            ("0 B", "0 B"),
            ("1001 B", "1001 B"),
        ] {
            assert_eq!(printed::<ByteSize>(written), expected);
        }
    }

    #[test]
    fn rates_print_as_they_are_written() {
        assert_eq!(printed::<Rate>("300/min"), "300/min");
        assert_eq!(printed::<Rate>("1_000 / second"), "1000/s");
        assert_eq!(printed::<Rate>("unlimited"), "unlimited");
        assert_eq!(printed::<ByteRate>("16 MiB/s"), "16 MiB/s");
        assert_eq!(printed::<ByteRate>("unlimited"), "unlimited");
        assert_eq!(printed::<Percent>("99.90%"), "99.9%");
        assert_eq!(printed::<OrOff<HumanDuration>>("off"), "off");
    }

    #[test]
    fn missing_unit_names_an_example_with_the_same_number() {
        assert_eq!(
            printed::<HumanDuration>("75"),
            "is \"75\"; a duration needs a unit, like \"75s\" (ms, s, m, h, d)"
        );
        assert!(printed::<ByteSize>("16").contains("like \"16 MiB\""));
        assert!(printed::<Rate>("300").contains("like \"300/min\""));
        assert!(printed::<ByteRate>("16 MiB").contains("like \"16 MiB/s\""));
        assert!(printed::<Percent>("25").contains("like \"25%\""));
    }

    #[test]
    fn invalid_values_are_refused() {
        for wrong in [
            "",
            "s",
            "-5s",
            "5s ago",
            "PT5S",
            "1 month",
            "soon",
            "5 parsecs",
        ] {
            assert!(wrong.parse::<HumanDuration>().is_err(), "{wrong}");
        }
        for wrong in ["", "MiB", "-1 MiB", "1 mile", "99999999999 TiB", "1 b"] {
            assert!(wrong.parse::<ByteSize>().is_err(), "{wrong}");
        }
        for wrong in ["0/s", "5/week", "/s", "-1/s"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
        for wrong in ["101%", "-1%", "half"] {
            assert!(wrong.parse::<Percent>().is_err(), "{wrong}");
        }
    }
}
