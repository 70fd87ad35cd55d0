//! The roll: accounts as their operator sees them, page by page. Numbers and keys, for there is
//! nothing else that a relay knows.

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use graceful_protocol::AccountId;

use super::{Account, Quota};

/// Accounts on one page at most: an answer over the operator's socket is a line of 64 KiB.
pub const PAGE_ACCOUNTS_MAX: usize = 100;

/// Letters of an id that name an account, at least: fewer are typed by mistake.
pub const ID_PREFIX_CHARS_MIN: usize = 8;

/// Letters of a whole id.
const ID_CHARS: usize = 43;

/// What an account is listed by, the most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountOrder {
    /// How many devices it has.
    Devices,
    /// Bytes that are kept for it.
    Bytes,
    /// Envelopes that are kept for it.
    Envelopes,
    /// When the newest envelope came of those that are still kept.
    Activity,
}

/// Where an account stands in an order: no two stand in the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ListCursor {
    /// What it is listed by.
    pub value: u64,
    /// The store's number for it.
    pub account: u64,
}

/// Which accounts are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListRequest {
    /// What they are listed by.
    pub order: AccountOrder,
    /// Behind this one; none: from the first.
    pub after: Option<ListCursor>,
    /// How many, [`PAGE_ACCOUNTS_MAX`] at most.
    pub accounts_max: usize,
}

/// One account on the roll.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSummary {
    /// Everybody's name for it.
    pub account: String,
    /// Members.
    pub devices: u64,
    /// Devices that are connected now, by connections; none: no relay is running.
    pub connected: Option<u64>,
    /// EnvelopeMeta, as counted against its quota.
    pub bytes: u64,
    /// EnvelopeMeta.
    pub envelopes: u64,
    /// Bytes it may keep.
    pub bytes_max: u64,
    /// Envelopes it may keep.
    pub envelopes_max: u64,
    /// What its operator chose for it.
    pub quota: Quota,
    /// How long ago the newest envelope came of those still kept, in seconds of the relay's running
    /// time; none: nothing is kept.
    pub newest_s: Option<u64>,
}

/// One device of an account that is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSummary {
    /// Its key.
    pub device: String,
    /// How many envelopes of the account's log it has not acknowledged, its own not counted.
    pub waiting: u64,
    /// Its last push that was kept.
    pub push_number: u64,
    /// Whether it has lost some and not yet heard of it.
    pub has_gap: bool,
}

/// One account, with its devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountDetail {
    /// As on the roll.
    #[serde(flatten)]
    pub entry: AccountSummary,
    /// Entries in its membership log.
    pub membership_entries: u64,
    /// Envelopes ever pushed.
    pub pushed_ever: u64,
    /// How long ago the oldest envelope came, as in [`AccountSummary::newest_s`].
    pub oldest_s: Option<u64>,
    /// Its devices.
    pub members: Vec<DeviceSummary>,
}

/// A page of the roll.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountListPage {
    /// The most first.
    pub entries: Vec<AccountSummary>,
    /// What to ask behind; none: that was all.
    pub next: Option<ListCursor>,
}

/// The first accounts of a page, while all go by: never more than fit on it.
#[derive(Debug)]
pub struct PageBuilder {
    page: ListRequest,
    accounts: BTreeMap<std::cmp::Reverse<ListCursor>, Account>,
    more: bool,
}

impl PageBuilder {
    /// Nothing yet.
    pub fn new(mut page: ListRequest) -> Self {
        page.accounts_max = page.accounts_max.clamp(1, PAGE_ACCOUNTS_MAX);
        Self {
            page,
            accounts: BTreeMap::new(),
            more: false,
        }
    }

    /// Takes an account that goes by, if it belongs on the page so far.
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

    /// The accounts in order, and what to ask behind.
    pub fn finish(self) -> (Vec<Account>, Option<ListCursor>) {
        let last = self.accounts.last_key_value().map(|(cursor, _)| cursor.0);
        (
            self.accounts.into_values().collect(),
            last.filter(|_| self.more),
        )
    }
}

/// The first and the last id that begin with these id_prefix.
///
/// # Errors
/// In words, where no id can begin so.
pub fn id_range(id_prefix: &str) -> Result<(AccountId, AccountId), String> {
    if id_prefix.len() < ID_PREFIX_CHARS_MIN {
        return Err(format!(
            "give {ID_PREFIX_CHARS_MIN} id_prefix of the account's id at least"
        ));
    }
    // The last letter of a whole id stands for four bits.
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
            "{:?} is not how an account's id begins",
            id_prefix.chars().take(60).collect::<String>()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AccountNumber;

    #[test]
    fn letters_of_an_id_lead_to_it_and_to_none_beside() {
        let id = AccountId::new([0xc3; 32]);
        let text = id.to_string();
        for id_prefix in ID_PREFIX_CHARS_MIN..=ID_CHARS {
            let (first, last) = id_range(&text[..id_prefix]).expect("id_prefix of an id");
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
    fn pages_together_are_the_whole_roll_in_order() {
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
