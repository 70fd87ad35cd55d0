//! From what was written to what can be relied on.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::error::{ConfigError, Found};
use super::log::Log;
use super::nearest::nearest;
use super::origin::Origins;
use super::raw::{DAY_S, Raw};
use super::{Config, Files, LogLevel, MetricsListen, Surroundings, TlsMode};
use crate::http::tls::TlsSetup;
use crate::http::{Admission, ReloadableOptions};
use crate::relay::{RateLimits, Registration};
use graceful_protocol::Limits;
use graceful_protocol::envelope;
use graceful_protocol::limits::{HOST_BYTES_MAX, RETENTION_S_MAX};
use graceful_rules::sla::SlaTerms;

/// Bytes of a frame around a single envelope: names, numbers, hashes.
const FRAME_OVERHEAD_BYTES: u64 = 1024;

const MIB: usize = 1024 * 1024;

/// Checks every setting, and what must hold between them. What was `found` before is told with it.
pub(super) fn validate(
    raw: Raw,
    origins: Origins,
    surroundings: &Surroundings,
    files: Files,
    mut found: Found,
) -> Result<Config, Found> {
    let check = Check { origins: &origins };
    let set_aside = found.count();
    check.ranges(&raw, &mut found);
    let checked = check.all(&raw, surroundings, &mut found);
    if set_aside > 0 {
        found.drop_unset_since(set_aside);
    }
    match checked {
        // All at once, so that whoever mends them does so once.
        Some(checked) if found.is_empty() => Ok(checked.into_config(raw, origins, files)),
        _ => Err(found),
    }
}

/// Each part of the settings, as it is to be used.
struct Checked {
    tls: (TlsMode, Option<TlsSetup>, Option<SocketAddr>),
    server: (SocketAddr, Vec<String>),
    folder: PathBuf,
    limits: Limits,
    registration: Registration,
    log: (LogLevel, Log),
    doors: (Admission, RateLimits),
    sla_terms: SlaTerms,
    metrics: MetricsListen,
    canary_interval: Option<Duration>,
    live: ReloadableOptions,
    status_page: Option<String>,
}

impl Check<'_> {
    /// `None`: something is wrong, and noted.
    fn all(&self, raw: &Raw, surroundings: &Surroundings, found: &mut Found) -> Option<Checked> {
        let tls = found.take(self.tls(raw));
        let mode = tls.as_ref().map(|(mode, _, _)| *mode);
        let server = mode.and_then(|mode| found.take(self.server(raw, mode)));
        let folder = found.take(self.folder(raw, surroundings));
        let limits = found.take(self.limits(raw));
        let registration = found.take(self.registration(raw));
        let level = found.take(self.log_level(raw));
        let log = level.and_then(|level| Some((level, found.take(self.log(raw, level))?)));
        let doors = mode.and_then(|mode| found.take(self.admission(raw, mode)));
        let sla_terms = found.take(self.sla(raw));
        let metrics = found.take(self.metrics(raw));
        let canary_interval = found.take(self.canary_interval(raw));
        let live = doors
            .as_ref()
            .and_then(|(admission, _)| found.take(self.live(raw, admission)));
        let status_page = server
            .as_ref()
            .and_then(|(_, names)| found.take(self.status_page(raw, names)));
        Some(Checked {
            tls: tls?,
            server: server?,
            folder: folder?,
            limits: limits?,
            registration: registration?,
            log: log?,
            doors: doors?,
            sla_terms: sla_terms?,
            metrics: metrics?,
            canary_interval: canary_interval?,
            live: live?,
            status_page: status_page?,
        })
    }

    /// Numbers that depend on no other.
    fn ranges(&self, raw: &Raw, found: &mut Found) {
        let (storage, limits) = (&raw.storage, &raw.limits);
        for (key, value, range) in [
            (
                "storage.free_bytes_min",
                storage.free_bytes_min,
                0..=1 << 50,
            ),
            (
                "storage.ballast_mib",
                storage.ballast_mib.into(),
                0..=65_536,
            ),
            ("storage.cache_mib", storage.cache_mib.into(), 4..=65_536),
            ("storage.journal_mib", storage.journal_mib.into(), 1..=1_024),
            (
                "limits.connections_max",
                limits.connections_max.into(),
                1..=1_000_000,
            ),
            (
                "limits.handshake_timeout_s",
                limits.handshake_timeout_s.into(),
                1..=3_600,
            ),
            (
                "limits.head_timeout_s",
                limits.head_timeout_s.into(),
                1..=3_600,
            ),
            (
                "limits.body_timeout_s",
                limits.body_timeout_s.into(),
                1..=3_600,
            ),
            (
                "limits.authentication_timeout_s",
                limits.authentication_timeout_s.into(),
                1..=3_600,
            ),
            (
                "limits.write_timeout_s",
                limits.write_timeout_s.into(),
                1..=3_600,
            ),
            (
                "limits.close_timeout_s",
                limits.close_timeout_s.into(),
                1..=3_600,
            ),
            (
                "server.drain_time_max_s",
                raw.server.drain_time_max_s.into(),
                1..=3_600,
            ),
        ] {
            found.take(self.range::<u64>(key, value, range));
        }
    }
}

impl Checked {
    fn into_config(self, mut raw: Raw, origins: Origins, files: Files) -> Config {
        let ((tls_mode, tls, http_listen), (listen, names)) = (self.tls, self.server);
        let ((log_level, log), (admission, rate_limits)) = (self.log, self.doors);
        raw.storage.folder = self.folder.display().to_string();
        raw.server.listen = listen.to_string();
        raw.server.names.clone_from(&names);
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        Config {
            listen,
            names,
            tls_mode,
            tls,
            http_listen,
            folder: self.folder,
            cache_bytes: raw.storage.cache_mib as usize * MIB,
            journal_bytes: u64::from(raw.storage.journal_mib) << 20,
            registration: self.registration,
            limits: self.limits,
            connections_max: raw.limits.connections_max as usize,
            handshake_timeout: seconds(raw.limits.handshake_timeout_s),
            head_timeout: seconds(raw.limits.head_timeout_s),
            body_timeout: seconds(raw.limits.body_timeout_s),
            authentication_timeout: seconds(raw.limits.authentication_timeout_s),
            frames_bytes: u64::from(raw.limits.frames_mib) << 20,
            write_timeout: seconds(raw.limits.write_timeout_s),
            close_timeout: seconds(raw.limits.close_timeout_s),
            stop_timeout: seconds(raw.server.drain_time_max_s),
            free_bytes_min: raw.storage.free_bytes_min,
            ballast_bytes: u64::from(raw.storage.ballast_mib) << 20,
            admission,
            rate_limits,
            sla_terms: self.sla_terms,
            metrics: self.metrics,
            canary_interval: self.canary_interval,
            status_page: self.status_page,
            reloadable: self.live,
            log_level,
            log,
            files,
            origins,
            raw,
        }
    }
}

pub(super) struct Check<'a> {
    pub(super) origins: &'a Origins,
}

impl Check<'_> {
    pub(super) fn wrong(&self, key: &str, text: &str) -> ConfigError {
        ConfigError::new(self.origins.of(key), format!("`{key}` {text}"))
    }

    pub(super) fn range<N: Into<u64>>(
        &self,
        key: &str,
        value: N,
        range: RangeInclusive<u64>,
    ) -> Result<(), ConfigError> {
        let value = value.into();
        if range.contains(&value) {
            return Ok(());
        }
        let text = format!(
            "is {value}; it must be between {} and {}",
            range.start(),
            range.end()
        );
        Err(self.wrong(key, &text))
    }

    fn server(&self, raw: &Raw, mode: TlsMode) -> Result<(SocketAddr, Vec<String>), ConfigError> {
        let listen = match raw.server.listen.as_str() {
            "" => mode.default_listen(),
            written => self.address("server.listen", written)?,
        };
        if !listen.ip().is_loopback() && mode == TlsMode::Off {
            let text = format!(
                "is {listen}, which other machines can reach, but without TLS this relay speaks plain text \
                 there. Set `tls.mode` (\"self-signed\" needs nothing else), or listen on 127.0.0.1"
            );
            return Err(self.wrong("server.listen", &text));
        }
        let names = raw
            .server
            .names
            .iter()
            .map(|name| self.name("server.names", name))
            .collect::<Result<Vec<_>, _>>()?;
        if mode == TlsMode::Proxy && names.is_empty() {
            let text = "is \"proxy\", so `server.names` must list the names that devices dial, \
                        like names = [\"relay.example.org\"]: each device signs the name it dialled, \
                        and behind a proxy the relay cannot know it otherwise";
            return Err(self.wrong("tls.mode", text));
        }
        // Whatever the certificate is for can be dialled.
        if names.is_empty() && mode == TlsMode::Acme {
            return Ok((listen, self.acme(raw)?.names));
        }
        Ok((listen, names))
    }

    pub(super) fn address(&self, key: &str, written: &str) -> Result<SocketAddr, ConfigError> {
        written.parse().map_err(|_| {
            let text = format!(
                "is {written:?}; it must be an IP address and a port, like \"127.0.0.1:8080\" or \"[::1]:8080\""
            );
            self.wrong(key, &text)
        })
    }

    pub(super) fn name(&self, key: &str, name: &str) -> Result<String, ConfigError> {
        let wrong = |text: &str| Err(self.wrong(key, &format!("has {name:?}; {text}")));
        if name.contains("://") || name.contains('/') {
            return wrong("give the name alone, without https:// or wss:// and without a path");
        }
        let bare = name.trim_matches(['[', ']']);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(address.to_string());
        }
        if name.contains(':') {
            return wrong("give the name alone, without a port");
        }
        let is_label = |label: &str| {
            let letters = label
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter));
            !label.is_empty() && letters
        };
        if name.len() > HOST_BYTES_MAX || !name.split('.').all(is_label) {
            return wrong(
                "a host name has letters, digits, hyphens and single dots (others in their xn-- form)",
            );
        }
        Ok(name.to_ascii_lowercase())
    }

    fn folder(&self, raw: &Raw, surroundings: &Surroundings) -> Result<PathBuf, ConfigError> {
        if raw.storage.folder.is_empty() {
            return surroundings.folder().ok_or_else(|| {
                self.wrong(
                    "storage.folder",
                    "is not set, and no home folder is known; give one, or use --data",
                )
            });
        }
        let folder = PathBuf::from(&raw.storage.folder);
        if !folder.is_absolute() {
            let text = format!(
                "is {:?}; it must be a whole path, so that it means the same wherever the relay is started",
                raw.storage.folder
            );
            return Err(self.wrong("storage.folder", &text));
        }
        Ok(folder)
    }

    fn registration(&self, raw: &Raw) -> Result<Registration, ConfigError> {
        let written = raw.accounts.registration.as_str();
        match written {
            "open" => Ok(Registration::Open),
            "invite" => Ok(Registration::Invite),
            "closed" => Ok(Registration::Closed),
            _ => Err(self.not_one_of(
                "accounts.registration",
                written,
                &["open", "invite", "closed"],
            )),
        }
    }

    fn log_level(&self, raw: &Raw) -> Result<LogLevel, ConfigError> {
        use LogLevel::{Debug, Error, Info, Off, Trace, Warn};
        let levels = [Off, Error, Warn, Info, Debug, Trace];
        let written = raw.log.level.as_str();
        let found = levels.into_iter().find(|level| level.name() == written);
        found.ok_or_else(|| self.not_one_of("log.level", written, &levels.map(LogLevel::name)))
    }

    pub(super) fn not_one_of(&self, key: &str, written: &str, words: &[&str]) -> ConfigError {
        let hint = match nearest(written, words.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("it must be one of {}", words.join(", ")),
        };
        self.wrong(key, &format!("is {written:?}; {hint}"))
    }

    fn limits(&self, raw: &Raw) -> Result<Limits, ConfigError> {
        let (accounts, limits) = (&raw.accounts, &raw.limits);
        self.accounts(raw)?;
        self.frames(raw)?;
        self.range("limits.ping_interval_s", limits.ping_interval_s, 5..=3_600)?;
        // One lost heartbeat must not end a conversation.
        self.range(
            "limits.idle_timeout_s",
            limits.idle_timeout_s,
            u64::from(limits.ping_interval_s) * 2..=86_400,
        )?;
        self.range(
            "limits.rendezvous_s_max",
            limits.rendezvous_s_max,
            60..=3_600,
        )?;
        Ok(Limits {
            frame_bytes_max: limits.frame_bytes_max,
            envelope_bytes_max: limits.envelope_bytes_max,
            push_envelopes_max: limits.push_envelopes_max,
            in_flight_frames_max: limits.in_flight_frames_max,
            window_bytes: limits.window_bytes,
            ping_interval_s: limits.ping_interval_s,
            idle_timeout_s: limits.idle_timeout_s,
            retention_s: raw.retention.days * DAY_S,
            account_bytes_max: accounts.bytes_max,
            account_envelopes_max: accounts.envelopes_max,
            account_devices_max: accounts.devices_max,
            membership_entries_max: accounts.membership_entries_max,
            rendezvous_s_max: limits.rendezvous_s_max,
            rendezvous_bytes_max: limits.rendezvous_bytes_max,
        })
    }

    fn accounts(&self, raw: &Raw) -> Result<(), ConfigError> {
        let accounts = &raw.accounts;
        self.range(
            "retention.days",
            raw.retention.days,
            1..=u64::from(RETENTION_S_MAX / DAY_S),
        )?;
        // A removal wraps a secret for each remaining device, and must fit a membership entry.
        self.range("accounts.devices_max", accounts.devices_max, 1..=100)?;
        let entries = u64::from(accounts.devices_max)..=10_000;
        self.range(
            "accounts.membership_entries_max",
            accounts.membership_entries_max,
            entries,
        )?;
        self.range(
            "accounts.bytes_max",
            accounts.bytes_max,
            raw.limits.envelope_bytes_max..=1 << 40,
        )?;
        self.range(
            "accounts.envelopes_max",
            accounts.envelopes_max,
            1..=100_000_000,
        )
    }

    fn frames(&self, raw: &Raw) -> Result<(), ConfigError> {
        let limits = &raw.limits;
        let smallest = envelope::SIZE_MIN as u64;
        self.range(
            "limits.envelope_bytes_max",
            limits.envelope_bytes_max,
            smallest..=15 << 20,
        )?;
        self.range(
            "limits.rendezvous_bytes_max",
            limits.rendezvous_bytes_max,
            4_096..=15 << 20,
        )?;
        let largest = limits
            .envelope_bytes_max
            .max(u64::from(limits.rendezvous_bytes_max));
        let frame = (largest + FRAME_OVERHEAD_BYTES).max(64 * 1024)..=16 << 20;
        self.range("limits.frame_bytes_max", limits.frame_bytes_max, frame)?;
        // Newcomers have a quarter of it, in which one must have room.
        let frames_mib = (limits.frame_bytes_max * 4).div_ceil(1 << 20)..=64 * 1024;
        self.range("limits.frames_mib", limits.frames_mib, frames_mib)?;
        // A frame has at most 20,000 elements, whatever they are.
        self.range(
            "limits.push_envelopes_max",
            limits.push_envelopes_max,
            1..=10_000,
        )?;
        self.range(
            "limits.in_flight_frames_max",
            limits.in_flight_frames_max,
            1..=1_024,
        )?;
        self.range(
            "limits.window_bytes",
            limits.window_bytes,
            64 * 1024..=1 << 30,
        )
    }
}
