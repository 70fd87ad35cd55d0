//! Checks that several sections share. Each error names the option and where it was set.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::error::{ConfigError, Errors};
use super::nearest::nearest;
use super::origin::Origins;
use super::units::{ByteSize, HumanDuration};
use graceful_protocol::limits::HOST_BYTES_MAX;

/// The checks, with where each option was set.
pub(super) struct Check<'a> {
    pub(super) origins: &'a Origins,
}

impl Check<'_> {
    pub(super) fn wrong(&self, key: &str, text: &str) -> ConfigError {
        ConfigError::new(self.origins.of(key), format!("`{key}` {text}"))
    }

    /// A count within a range.
    pub(super) fn range<N: Into<u64>>(
        &self,
        key: &str,
        value: N,
        range: RangeInclusive<u64>,
    ) -> Result<(), ConfigError> {
        let value = value.into();
        self.within(key, value, value, *range.start(), *range.end(), range)
    }

    /// A size within a range of bytes.
    pub(super) fn size(
        &self,
        key: &str,
        value: ByteSize,
        range: RangeInclusive<u64>,
    ) -> Result<(), ConfigError> {
        let (min, max) = (ByteSize(*range.start()), ByteSize(*range.end()));
        self.within(key, value.0, value, min, max, range)
    }

    /// A duration within a range of seconds.
    pub(super) fn duration(
        &self,
        key: &str,
        value: HumanDuration,
        seconds: RangeInclusive<u64>,
    ) -> Result<(), ConfigError> {
        let (min, max) = (
            HumanDuration::from_secs(*seconds.start()),
            HumanDuration::from_secs(*seconds.end()),
        );
        if (min..=max).contains(&value) {
            return Ok(());
        }
        Err(self.wrong(
            key,
            &format!("is {value}; it must be between {min} and {max}"),
        ))
    }

    fn within<T: std::fmt::Display>(
        &self,
        key: &str,
        number: u64,
        value: T,
        min: T,
        max: T,
        range: RangeInclusive<u64>,
    ) -> Result<(), ConfigError> {
        if range.contains(&number) {
            return Ok(());
        }
        Err(self.wrong(
            key,
            &format!("is {value}; it must be between {min} and {max}"),
        ))
    }

    /// Durations that depend on no other option.
    pub(super) fn timeouts(&self, errors: &mut Errors, timeouts: &[(&str, HumanDuration)]) {
        for (key, timeout) in timeouts {
            errors.take(self.duration(key, *timeout, 1..=3_600));
        }
    }

    pub(super) fn address(&self, key: &str, written: &str) -> Result<SocketAddr, ConfigError> {
        written.parse().map_err(|_| {
            let text = format!(
                "is {written:?}; it must be an IP address and a port, like \"127.0.0.1:8080\" or \"[::1]:8080\""
            );
            self.wrong(key, &text)
        })
    }

    /// A domain or an IP address, in lower case.
    pub(super) fn domain(&self, key: &str, name: &str) -> Result<String, ConfigError> {
        let wrong = |text: &str| Err(self.wrong(key, &format!("has {name:?}; {text}")));
        if name.contains("://") || name.contains('/') {
            return wrong("give the domain alone, without https:// or wss:// and without a path");
        }
        let bare = name.trim_matches(['[', ']']);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(address.to_string());
        }
        if name.contains(':') {
            return wrong("give the domain alone, without a port");
        }
        let is_label = |label: &str| {
            let letters = label
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter));
            !label.is_empty() && letters
        };
        if name.len() > HOST_BYTES_MAX || !name.split('.').all(is_label) {
            return wrong(
                "a domain has letters, digits, hyphens and single dots (others in their xn-- form)",
            );
        }
        Ok(name.to_ascii_lowercase())
    }

    /// An absolute path.
    pub(super) fn path(&self, key: &str, written: &str) -> Result<PathBuf, ConfigError> {
        let path = PathBuf::from(written);
        match path.is_absolute() {
            true => Ok(path),
            false => Err(self.wrong(key, &format!("is {written:?}; it must be an absolute path"))),
        }
    }

    pub(super) fn not_one_of(&self, key: &str, written: &str, words: &[&str]) -> ConfigError {
        let hint = match nearest(written, words.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("it must be one of {}", words.join(", ")),
        };
        self.wrong(key, &format!("is {written:?}; {hint}"))
    }
}
