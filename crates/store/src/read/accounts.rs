//! The account listing of an operator: read when asked for, nothing is stored for it.

use graceful_protocol::{AccountId, Limits};
use graceful_rules::account_list::{
    AccountDetail, AccountOrder, AccountSummary, DeviceSummary, ListCursor, PageBuilder, id_range,
};
use graceful_rules::{Account, AccountNumber, RelayTime};

use crate::{Rows, StoreError};

/// Accounts read from one snapshot, during which the writer may have to wait.
const SNAPSHOT_ACCOUNTS_MAX: usize = 500;

/// Adds some accounts to a page, from a number on. Returns the number to continue from.
pub(crate) fn scan_accounts(
    rows: &impl Rows,
    first: AccountNumber,
    order: AccountOrder,
    builder: &mut PageBuilder,
) -> Result<Option<AccountNumber>, StoreError> {
    for (count, account) in rows.accounts(first)?.enumerate() {
        let account = account?;
        if count == SNAPSHOT_ACCOUNTS_MAX {
            return Ok(Some(account.number));
        }
        let value = match order {
            AccountOrder::Devices => account.devices.len() as u64,
            AccountOrder::Bytes => account.stored_bytes,
            AccountOrder::Envelopes => account.stored_envelopes,
            // Order numbers start at 1: an account without envelopes comes last.
            AccountOrder::Activity => rows
                .newest_entry(&account)?
                .map_or(0, |entry| rows.order(&entry)),
        };
        let cursor = ListCursor {
            value,
            account: account.number.0,
        };
        builder.take(cursor, account);
    }
    Ok(None)
}

/// Returns the summaries of accounts.
pub(crate) fn account_summaries(
    rows: &impl Rows,
    accounts: &[Account],
    now: RelayTime,
    limits: &Limits,
) -> Result<Vec<(AccountNumber, AccountSummary)>, StoreError> {
    let summaries = accounts.iter().map(|account| {
        let newest = rows.newest_entry(account)?;
        let summary = summary(rows, account, newest, now, limits)?;
        Ok((account.number, summary))
    });
    summaries.collect()
}

/// Returns the account whose id has this prefix, or a message if there is none or more than one.
pub(crate) fn find_account_by_prefix(
    rows: &impl Rows,
    id_prefix: &str,
) -> Result<Result<AccountId, String>, StoreError> {
    let (first, last) = match id_range(id_prefix) {
        Ok(range) => range,
        Err(message) => return Ok(Err(message)),
    };
    let mut found = rows.account_ids(first..=last)?;
    let Some(id) = found.next().transpose()? else {
        return Ok(Err(format!("no account id begins with `{id_prefix}`")));
    };
    Ok(match found.next() {
        Some(_) => Err(format!(
            "more than one account id begins with `{id_prefix}`; give more of it"
        )),
        None => Ok(id),
    })
}

/// Returns an account with its devices.
pub(crate) fn account_detail(
    rows: &impl Rows,
    id: &AccountId,
    now: RelayTime,
    limits: &Limits,
) -> Result<Option<(AccountNumber, AccountDetail)>, StoreError> {
    let Some(number) = rows.account_number(id)? else {
        return Ok(None);
    };
    let Some(account) = rows.account(number)? else {
        return Ok(None);
    };
    let mut waiting = vec![0; account.devices.len()];
    let (mut oldest, mut newest) = (None, None);
    for entry in rows.entries(number, 0..=u64::MAX)? {
        let entry = entry?;
        oldest = oldest.or(Some(entry));
        newest = Some(entry);
        let meta = entry.as_ref();
        for (count, device) in waiting.iter_mut().zip(&account.devices) {
            let waits = meta.is_for(device.device_index) && device.cursor < meta.seq;
            *count += u64::from(waits);
        }
    }
    let members = account
        .devices
        .iter()
        .zip(waiting)
        .map(|(device, waiting)| DeviceSummary {
            device: device.key.to_string(),
            waiting,
            push_number: device.push_number,
            has_gap: device.gap.is_some(),
        });
    let detail = AccountDetail {
        entry: summary(rows, &account, newest, now, limits)?,
        membership_entries: account.membership_count,
        pushed_ever: account.head,
        oldest_s: oldest
            .map(|entry| age_s(rows, number, &entry, now))
            .transpose()?,
        members: members.collect(),
    };
    Ok(Some((number, detail)))
}

fn summary<R: Rows>(
    rows: &R,
    account: &Account,
    newest: Option<R::Entry>,
    now: RelayTime,
    limits: &Limits,
) -> Result<AccountSummary, StoreError> {
    Ok(AccountSummary {
        account: account.id.to_string(),
        devices: account.devices.len() as u64,
        connected: None,
        bytes: account.stored_bytes,
        envelopes: account.stored_envelopes,
        bytes_max: account.quota.bytes_max(limits),
        envelopes_max: account.quota.envelopes_max(limits),
        quota: account.quota,
        newest_s: newest
            .map(|entry| age_s(rows, account.number, &entry, now))
            .transpose()?,
    })
}

fn age_s<R: Rows>(
    rows: &R,
    account: AccountNumber,
    entry: &R::Entry,
    now: RelayTime,
) -> Result<u64, StoreError> {
    let header = rows.header(account, entry)?;
    Ok(now.ms().saturating_sub(header.arrived.ms()) / 1_000)
}
