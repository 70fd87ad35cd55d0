//! Reads for sessions and operators, the same for every engine.

mod accounts;

use bytes::Bytes;
use graceful_protocol::wire::Delivered;
use graceful_protocol::{AccountId, DeviceKey, Limits};
use graceful_rules::command::{
    AccountPage, DeviceState, Fetch, FetchResult, Member, RecoverableAccount,
};
use graceful_rules::expiry::is_expired;
use graceful_rules::{Account, AccountNumber, EnvelopeMeta, Recipient, RelayTime};

pub(crate) use accounts::{
    account_detail, account_summaries, find_account_by_prefix, scan_accounts,
};

use crate::{EnvelopeHeader, Rows, StoreError};

/// Envelopes in one page at most.
const PAGE_ENVELOPES_MAX: usize = 1_000;

/// Index entries that one fetch scans at most, for any recipient.
const SCAN_ENTRIES_MAX: usize = 10_000;

/// Bytes of membership entries in one page at most, unless a single one is larger.
const PAGE_MEMBERSHIP_BYTES_MAX: usize = 256 * 1024;

/// Why a scan ended.
enum ScanEnd {
    PageFull,
    /// The next envelope has expired.
    Expired,
    /// The next envelope failed its integrity check.
    Corrupted(u64),
}

/// Returns the state of a device, if it is a member. For any other device the time that this takes does not
/// depend on whether the account exists.
pub(crate) fn find_device(
    rows: &impl Rows,
    id: &AccountId,
    device: &DeviceKey,
) -> Result<Option<DeviceState>, StoreError> {
    let Some(number) = rows.member(id, device)? else {
        return Ok(None);
    };
    let account = rows
        .account(number)?
        .ok_or(StoreError::Damaged("a member's account has no row"))?;
    Ok(account.device_by_key(device).map(|device| DeviceState {
        account: *id,
        member: Member {
            account: number,
            device: device.device_index,
        },
        head: account.head,
        chain: account.chain,
        cursor: device.cursor,
        push_number: device.push_number,
        stored_bytes: account.stored_bytes,
        stored_envelopes: account.stored_envelopes,
        membership_count: account.membership_count,
    }))
}

/// Returns the account of a recovery key.
pub(crate) fn find_recovery(
    rows: &impl Rows,
    key: &DeviceKey,
) -> Result<Option<RecoverableAccount>, StoreError> {
    let Some(number) = rows.recovery_account(key)? else {
        return Ok(None);
    };
    let account = rows.account(number)?.ok_or(StoreError::Damaged(
        "a recovery key leads to an account without a row",
    ))?;
    Ok(Some(RecoverableAccount {
        account: number,
        membership_count: account.membership_count,
    }))
}

/// Returns a membership log from an index on, and nothing else of the account.
pub(crate) fn fetch_membership(
    rows: &impl Rows,
    number: AccountNumber,
    entries_from: u64,
    limits: &Limits,
) -> Result<FetchResult, StoreError> {
    let Some(account) = rows.account(number)? else {
        return Ok(FetchResult::AccountDeleted);
    };
    let entries = rows.membership(number, entries_from, membership_bytes_max(limits))?;
    Ok(FetchResult::Page(AccountPage {
        entries_from,
        entries,
        membership_count: account.membership_count,
        ..AccountPage::default()
    }))
}

/// Returns what a device has not fetched yet.
pub(crate) fn fetch(
    rows: &impl Rows,
    fetch: &Fetch,
    now: RelayTime,
    limits: &Limits,
) -> Result<FetchResult, StoreError> {
    let Some(account) = rows.account(fetch.member.account)? else {
        return Ok(FetchResult::AccountDeleted);
    };
    let Some(device) = account.device(fetch.member.device) else {
        return Ok(FetchResult::NotAMember);
    };
    let mut page = AccountPage {
        entries_from: fetch.entries_from,
        membership_count: account.membership_count,
        gap: device.gap,
        head: account.head,
        through: if fetch.bytes_max == 0 {
            fetch.after
        } else {
            account.head
        },
        ..AccountPage::default()
    };
    if fetch.entries_from < account.membership_count {
        let bytes_max = membership_bytes_max(limits);
        page.entries = rows.membership(account.number, fetch.entries_from, bytes_max)?;
    }
    let entries_through = fetch.entries_from + page.entries.len() as u64;
    if entries_through < account.membership_count {
        // An envelope may come from a device, or use a key epoch, that only later entries name.
        page.through = fetch.after;
    } else if fetch.after < account.head && fetch.bytes_max > 0 {
        match fill_page(rows, &account, fetch, (now, limits), &mut page)? {
            ScanEnd::PageFull => {}
            ScanEnd::Expired => return Ok(FetchResult::SweepFirst),
            ScanEnd::Corrupted(seq) => return Ok(FetchResult::Corrupted { seq }),
        }
    }
    Ok(FetchResult::Page(page))
}

/// Half a frame at most: the frame's own bytes come on top.
fn membership_bytes_max(limits: &Limits) -> usize {
    let frame_bytes_max = usize::try_from(limits.frame_bytes_max).unwrap_or(usize::MAX);
    PAGE_MEMBERSHIP_BYTES_MAX.min(frame_bytes_max / 2)
}

/// Adds envelopes until the page is full. Returns why not even the first could be added, if so.
fn fill_page(
    rows: &impl Rows,
    account: &Account,
    fetch: &Fetch,
    (now, limits): (RelayTime, &Limits),
    page: &mut AccountPage,
) -> Result<ScanEnd, StoreError> {
    let mut bytes = 0;
    let seqs = fetch.after + 1..=account.head;
    for (scanned, item) in rows.entries(account.number, seqs)?.enumerate() {
        let entry = item?;
        let meta: &EnvelopeMeta = entry.as_ref();
        let before = meta.seq - 1;
        if scanned == SCAN_ENTRIES_MAX {
            page.through = before;
            return Ok(ScanEnd::PageFull);
        }
        if !meta.is_for(fetch.member.device) {
            continue;
        }
        let full = page.envelopes.len() == PAGE_ENVELOPES_MAX
            || bytes + u64::from(meta.size) > fetch.bytes_max;
        if full && !(page.envelopes.is_empty() && fetch.at_least_one) {
            page.through = before;
            return Ok(ScanEnd::PageFull);
        }
        let end = match rows.envelope(account.number, &entry) {
            Ok((header, _)) if is_expired(header.arrived, now, limits) => ScanEnd::Expired,
            Err(StoreError::Corrupted) => ScanEnd::Corrupted(meta.seq),
            Err(error) => return Err(error),
            Ok((header, sealed)) => {
                bytes += u64::from(meta.size);
                page.envelopes.push(delivered(meta, &header, sealed));
                continue;
            }
        };
        page.through = before;
        // The envelopes before this one are delivered first.
        return Ok(if page.envelopes.is_empty() {
            end
        } else {
            ScanEnd::PageFull
        });
    }
    Ok(ScanEnd::PageFull)
}

fn delivered(meta: &EnvelopeMeta, header: &EnvelopeHeader, sealed: Bytes) -> Delivered {
    Delivered {
        seq: meta.seq,
        sender: header.sender_key.to_wire(),
        push_number: header.push_number,
        sealed,
        chain: header.chain.to_wire(),
        targeted: meta.recipient != Recipient::Everyone,
    }
}
