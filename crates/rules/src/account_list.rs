//! The operator's account listing, page by page.

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use graceful_protocol::AccountId;

use super::{Account, Quota};

/// Accounts per page: an admin response is one line of up to 64 KiB.
pub const PAGE_ACCOUNTS_MAX: usize = 100;

/// Minimum length of an id prefix; shorter ones are likely typing errors.
pub const ID_PREFIX_CHARS_MIN: usize = 8;

/// Characters of a whole id in base64url.
const ID_CHARS: usize = 43;

/// Sort key of the listing, in descending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountOrder {
    /// Number of devices.
    Devices,
    /// Stored bytes.
    Bytes,
    /// Stored envelopes.
    Envelopes,
    /// Arrival of the newest stored envelope.
    Activity,
}

/// Position of an account in a listing; unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ListCursor {
    /// Value of the sort key.
    pub value: u64,
    /// The store's number of the account.
    pub account: u64,
}

/// Parameters of one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListRequest {
    /// Sort key.
    pub order: AccountOrder,
    /// Start after this position; `None` starts at the first account.
    pub after: Option<ListCursor>,
    /// Page size, capped at [`PAGE_ACCOUNTS_MAX`].
    pub accounts_max: usize,
}

/// One account in the listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSummary {
    /// Account id.
    pub account: String,
    /// Number of member devices.
    pub devices: u64,
    /// Open connections; `None` when no relay is running.
    pub connected: Option<u64>,
    /// Stored bytes as counted against the quota.
    pub bytes: u64,
    /// Stored envelopes.
    pub envelopes: u64,
    /// Byte quota.
    pub bytes_max: u64,
    /// Envelope quota.
    pub envelopes_max: u64,
    /// The operator's quota override.
    pub quota: Quota,
    /// Age of the newest stored envelope in seconds of the relay's running time; `None` without
    /// any.
    pub newest_s: Option<u64>,
}

/// One device of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSummary {
    /// Public key.
    pub device: String,
    /// Number of envelopes it has not acknowledged, its own excluded.
    pub waiting: u64,
    /// Number of its last stored push.
    pub push_number: u64,
    /// Whether it has an unacknowledged gap.
    pub has_gap: bool,
}

/// One account with its devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountDetail {
    /// The account as listed.
    #[serde(flatten)]
    pub entry: AccountSummary,
    /// Entries in the membership log.
    pub membership_entries: u64,
    /// Envelopes ever pushed.
    pub pushed_ever: u64,
    /// Age of the oldest stored envelope, see [`AccountSummary::newest_s`].
    pub oldest_s: Option<u64>,
    /// Member devices.
    pub members: Vec<DeviceSummary>,
}

/// One page of the listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountListPage {
    /// Accounts in descending order.
    pub entries: Vec<AccountSummary>,
    /// Cursor of the next page; `None` on the last page.
    pub next: Option<ListCursor>,
}

/// Builder of one page during a scan. Holds no more accounts than fit.
#[derive(Debug)]
pub struct PageBuilder {
    page: ListRequest,
    accounts: BTreeMap<std::cmp::Reverse<ListCursor>, Account>,
    more: bool,
}

impl PageBuilder {
    /// Creates an empty page.
    pub fn new(mut page: ListRequest) -> Self {
        page.accounts_max = page.accounts_max.clamp(1, PAGE_ACCOUNTS_MAX);
        Self {
            page,
            accounts: BTreeMap::new(),
            more: false,
        }
    }

    /// Adds an account if it sorts onto the page.
    pub fn take(&mut self, cursor: ListCursor, account: Account) {
        if self.page.after.is_some_and(|after| cursor >= after) {
            return;
        }
        self.accounts.insert(std::cmp::Reverse(cursor), account);
        if self.accounts.len() > self.page.accounts_max {
            self.accounts.pop_last();
            self.more = true;
        }
    }

    /// Returns the accounts in order and the cursor of the next page.
    pub fn finish(self) -> (Vec<Account>, Option<ListCursor>) {
        let last = self.accounts.last_key_value().map(|(cursor, _)| cursor.0);
        (
            self.accounts.into_values().collect(),
            last.filter(|_| self.more),
        )
    }
}

/// Returns the first and the last id with this prefix.
///
/// # Errors
/// A message if no id can have this prefix.
pub fn id_range(id_prefix: &str) -> Result<(AccountId, AccountId), String> {
    if id_prefix.len() < ID_PREFIX_CHARS_MIN {
        return Err(format!(
            "an id prefix needs at least {ID_PREFIX_CHARS_MIN} characters"
        ));
    }
    // The last character of an id encodes four bits.
    let filled = |filler: char, last: char| {
        let mut id = id_prefix.to_owned();
        id.extend((id_prefix.len()..ID_CHARS - 1).map(|_| filler));
        if id.len() < ID_CHARS {
            id.push(last);
        }
        let bytes = BASE64URL_NOPAD.decode(id.as_bytes()).ok()?;
        AccountId::try_from(bytes.as_slice()).ok()
    };
    match (filled('A', 'A'), filled('_', '8')) {
        (Some(first), Some(last)) => Ok((first, last)),
        _ => Err(format!(
            "no account id begins with {:?}",
            id_prefix.chars().take(60).collect::<String>()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AccountNumber;

    #[test]
    fn id_prefix_ranges_over_matching_ids_only() {
        let id = AccountId::new([0xc3; 32]);
        let text = id.to_string();
        for id_prefix in ID_PREFIX_CHARS_MIN..=ID_CHARS {
            let (first, last) = id_range(&text[..id_prefix]).expect("prefix of an id");
            assert!(first <= id && id <= last, "{id_prefix}");
            assert!(
                first.to_string().starts_with(&text[..id_prefix]),
                "{id_prefix}"
            );
            assert!(
                last.to_string().starts_with(&text[..id_prefix]),
                "{id_prefix}"
            );
        }
        for wrong in [
            "",
            "AAAAAAA",
            "AAAAAAA=",
            "AAAAAAAA AAAA",
            &format!("{text}A"),
            "ééééééééé",
        ] {
            assert!(id_range(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn listing_pages_join_to_whole_list_in_order() {
        let account = |number| Account::new(AccountNumber(number), AccountId::new([0; 32]));
        let values = [3_u64, 1, 3, 0, 7, 3, 2];
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let mut builder = PageBuilder::new(ListRequest {
                order: AccountOrder::Bytes,
                after,
                accounts_max: 2,
            });
            for (number, value) in (0..).zip(values) {
                builder.take(
                    ListCursor {
                        value,
                        account: number,
                    },
                    account(number),
                );
            }
            let (accounts, next) = builder.finish();
            assert!(accounts.len() <= 2);
            seen.extend(accounts.iter().map(|account| account.number.0));
            after = next;
            if next.is_none() {
                break;
            }
        }
        assert_eq!(seen, [4, 5, 2, 0, 6, 1, 3]);
    }
}
