//! Accounts as text.

use console::style;
use indicatif::HumanCount;

use crate::human::{bytes, duration};
use graceful_rules::account_list::{AccountDetail, AccountSummary};

/// Characters of an id in a list.
const ID_CHARS: usize = 12;

pub(super) fn heading() -> String {
    let heading = format!(
        "{:14}{:>8}{:>10}{:>11}{:>12}  {}",
        "account", "devices", "connected", "envelopes", "bytes", "newest"
    );
    style(heading).bold().to_string()
}

pub(super) fn line(entry: &AccountSummary) -> String {
    let id: String = entry.account.chars().take(ID_CHARS).collect();
    let connected = entry
        .connected
        .map_or_else(|| "-".to_owned(), |count| count.to_string());
    let newest = entry.newest_s.map_or_else(
        || "-".to_owned(),
        |age_s| format!("{} ago", duration(age_s)),
    );
    let own = if entry.quota == graceful_rules::Quota::default() {
        ""
    } else {
        ", own quota"
    };
    let (envelopes, kept) = (HumanCount(entry.envelopes).to_string(), bytes(entry.bytes));
    format!(
        "{id:14}{:>8}{connected:>10}{envelopes:>11}{kept:>12}  {newest}{own}",
        entry.devices
    )
}

pub(super) fn quota(entry: &AccountSummary) -> String {
    format!(
        "Quota: {} ({}) and {} envelopes ({}).",
        bytes(entry.bytes_max),
        chosen(entry.quota.bytes_max.is_some()),
        HumanCount(entry.envelopes_max),
        chosen(entry.quota.envelopes_max.is_some())
    )
}

fn chosen(own: bool) -> &'static str {
    if own { "own quota" } else { "default" }
}

pub(super) fn detail(detail: &AccountDetail) -> String {
    let entry = &detail.entry;
    let ago = |age_s: Option<u64>| {
        age_s.map_or_else(
            || "-".to_owned(),
            |age_s| format!("{} ago", duration(age_s)),
        )
    };
    let facts = [
        ("account", entry.account.clone()),
        (
            "connections",
            entry
                .connected
                .map_or_else(|| "-".to_owned(), |count| count.to_string()),
        ),
        (
            "bytes",
            format!(
                "{} of {} ({})",
                bytes(entry.bytes),
                bytes(entry.bytes_max),
                chosen(entry.quota.bytes_max.is_some())
            ),
        ),
        (
            "envelopes",
            format!(
                "{} of {} ({}), {} pushed in total",
                HumanCount(entry.envelopes),
                HumanCount(entry.envelopes_max),
                chosen(entry.quota.envelopes_max.is_some()),
                HumanCount(detail.pushed_ever)
            ),
        ),
        ("newest", ago(entry.newest_s)),
        ("oldest", ago(detail.oldest_s)),
        (
            "membership",
            format!("{} entries", detail.membership_entries),
        ),
    ];
    let mut page: String = facts
        .iter()
        .map(|(name, value)| format!("{} {value}\n", style(format!("{name:12}")).dim()))
        .collect();
    for member in &detail.members {
        let gap = if member.has_gap { ", has a gap" } else { "" };
        let (waiting, pushed) = (HumanCount(member.waiting), HumanCount(member.push_number));
        let name = style(format!("{:12}", "device")).dim();
        page += &format!(
            "{name} {}\n{:13}{waiting} pending, {pushed} pushed{gap}\n",
            member.device, ""
        );
    }
    page
}
