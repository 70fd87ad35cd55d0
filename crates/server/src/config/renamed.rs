//! Names that options had before, so that an old file is refused with the new name.

use super::units::{ByteRate, ByteSize, HumanDuration, Percent, Rate};

/// Old `section.key`, new `section.key`.
pub(super) const RENAMED: &[(&str, &str)] = &[
    ("server.names", "server.domains"),
    ("server.drain_time_max_s", "server.shutdown_timeout"),
    ("acme.agree_to_terms", "acme.accept_tos"),
    ("acme.names", "acme.domains"),
    ("acme.contact", "acme.email"),
    ("acme.directory", "acme.directory_url"),
    ("acme.authority", "acme.ca_file"),
    ("storage.folder", "storage.data_dir"),
    ("storage.cache_mib", "storage.cache_size"),
    ("storage.journal_mib", "storage.journal_size"),
    ("storage.free_bytes_min", "storage.min_free_space"),
    ("storage.ballast_mib", "storage.ballast_size"),
    ("retention.days", "storage.retention"),
    ("accounts.bytes_max", "accounts.quota"),
    ("limits.frame_bytes_max", "limits.frame_size_max"),
    ("limits.frames_mib", "limits.frame_buffer"),
    ("limits.envelope_bytes_max", "limits.envelope_size_max"),
    (
        "limits.unanswered_frames_max",
        "limits.in_flight_frames_max",
    ),
    ("limits.window_bytes", "limits.delivery_window"),
    ("limits.rendezvous_bytes_max", "limits.rendezvous_size_max"),
    ("limits.rendezvous_s_max", "limits.rendezvous_timeout"),
    ("limits.heartbeat_s", "limits.ping_interval"),
    ("limits.silence_s_max", "limits.idle_timeout"),
    ("limits.handshake_timeout_s", "limits.handshake_timeout"),
    ("limits.head_timeout_s", "limits.header_timeout"),
    ("limits.body_timeout_s", "limits.body_timeout"),
    ("limits.authentication_timeout_s", "limits.auth_timeout"),
    ("limits.write_timeout_s", "limits.write_timeout"),
    ("limits.close_timeout_s", "limits.close_timeout"),
    (
        "admission.newcomers_percent",
        "rate_limits.unauthenticated_max",
    ),
    ("admission.handshakes_max", "rate_limits.handshakes_max"),
    (
        "admission.address_connections_max",
        "rate_limits.per_ip_connections_max",
    ),
    (
        "admission.address_newcomers_max",
        "rate_limits.per_ip_unauthenticated_max",
    ),
    (
        "admission.address_arrivals_per_min",
        "rate_limits.per_ip_connections",
    ),
    (
        "admission.address_frames_per_s",
        "rate_limits.per_ip_frames",
    ),
    (
        "admission.address_bytes_per_s",
        "rate_limits.per_ip_bandwidth",
    ),
    (
        "admission.address_accounts_per_h",
        "rate_limits.per_ip_new_accounts",
    ),
    (
        "admission.address_joins_per_h",
        "rate_limits.per_ip_pairings",
    ),
    ("admission.accounts_per_h", "rate_limits.new_accounts"),
    (
        "admission.account_connections_max",
        "rate_limits.per_account_connections_max",
    ),
    (
        "admission.account_frames_per_s",
        "rate_limits.per_account_frames",
    ),
    (
        "admission.account_bytes_per_s",
        "rate_limits.per_account_bandwidth",
    ),
    (
        "admission.account_rendezvous_max",
        "rate_limits.per_account_rendezvous_max",
    ),
    ("admission.rendezvous_max", "rate_limits.rendezvous_max"),
    ("sla.target_percent", "sla.target"),
    ("sla.planned_stop_max_min", "sla.planned_stop_max"),
    ("health.canary_interval_s", "health.canary_interval"),
    ("health.region", "server.region"),
    ("log.to", "log.output"),
    ("log.folder", "log.dir"),
    ("log.keep_days", "log.retention"),
];

/// Sections that are gone, with the section that most of their options went to.
pub(super) const RENAMED_SECTIONS: &[(&str, &str)] =
    &[("admission", "rate_limits"), ("retention", "storage")];

/// The new section and key of an option that has another name now.
pub(super) fn new_name(section: &str, key: &str) -> Option<(&'static str, &'static str)> {
    let old = format!("{section}.{key}");
    let (_, new) = RENAMED.iter().find(|(name, _)| *name == old)?;
    new.split_once('.')
}

/// Whether an option's value has a unit, by its default.
pub(super) fn has_unit(default: &toml::Value) -> bool {
    let text = default.as_str().unwrap_or_default();
    text.parse::<HumanDuration>().is_ok()
        || text.parse::<ByteSize>().is_ok()
        || text.parse::<Rate>().is_ok()
        || text.parse::<ByteRate>().is_ok()
        || text.parse::<Percent>().is_ok()
}
