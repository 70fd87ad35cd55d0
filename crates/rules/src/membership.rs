//! Who may found an account and what a new membership entry does to it.

use std::ops::RangeInclusive;

use graceful_protocol::membership::{Changed, InvalidEntry, Member, Membership};
use graceful_protocol::wire::SignedEntry;
use graceful_protocol::{Code, DeviceKey, Limits, Refusal};

use super::ack::EMPTY;
use super::{Account, AccountNumber, Device, DeviceIndex};

/// Who may found an account here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Registration {
    /// Anyone.
    Open,
    /// Who has an invitation, good for one account.
    #[default]
    Invite,
    /// Nobody: only the accounts that exist are served.
    Closed,
}

/// Decides a genesis, given whether the invitation that came with it is good.
///
/// # Errors
/// Registration does not allow it, or the entry founds nothing.
pub fn create_account(
    number: AccountNumber,
    entry: &SignedEntry,
    by: &DeviceKey,
    registration: Registration,
    invited: bool,
) -> Result<Account, Refusal> {
    match registration {
        Registration::Closed => {
            let text = "this relay takes no new accounts";
            return Err(Refusal::new(Code::RegistrationClosed, text));
        }
        Registration::Invite if !invited => {
            let text = "this relay takes new accounts by invitation, and this one is missing, used or expired; \
                        ask who runs it for one (they make it with `graceful-relay invite`)";
            return Err(Refusal::new(Code::InviteRequired, text));
        }
        Registration::Open | Registration::Invite => {}
    }
    let membership = Membership::from_genesis(entry).map_err(refusal)?;
    let mut account = Account::new(number, membership.account());
    for member in membership.members() {
        add_device(&mut account, member);
    }
    if account.device_by_key(by).is_none() {
        return Err(Refusal::not_a_member());
    }
    account.membership_count = membership.count();
    Ok(account)
}

/// The recovery key that a genesis names, if it names one. The entry was checked before.
pub fn recovery_key(genesis: &SignedEntry) -> Option<DeviceKey> {
    Some(Membership::replay_trusted([genesis]).ok()?.recovery()?.key)
}

/// What appending did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Entries to write, from the index `Account::membership_count` had before.
    pub new: Vec<SignedEntry>,
    /// Seqs among which rows may have become unneeded, as for an ack.
    pub released: Vec<RangeInclusive<u64>>,
}

/// Decides new entries against the log so far, and takes all of them into the account or none.
/// Entries that the log already has are skipped.
///
/// # Errors
/// The first entry that does not belong, or a limit.
pub fn append(
    account: &mut Account,
    log: &[SignedEntry],
    first: u64,
    entries: &[SignedEntry],
    limits: &Limits,
) -> Result<Appended, Refusal> {
    let new = new_entries(log, first, entries)?;
    let mut membership = Membership::replay_trusted(log).map_err(refusal)?;
    let mut changed = account.clone();
    let mut released = Vec::new();
    for entry in new {
        released.push(apply(&mut changed, &mut membership, entry, limits)?);
    }
    changed.membership_count = membership.count();
    *account = changed;
    Ok(Appended {
        new: new.to_vec(),
        released,
    })
}

/// The entries that follow the log, once those it already has are taken off.
fn new_entries<'a>(
    log: &[SignedEntry],
    first: u64,
    entries: &'a [SignedEntry],
) -> Result<&'a [SignedEntry], Refusal> {
    let stale = || {
        refusal(InvalidEntry::Stale {
            expected: log.len() as u64,
        })
    };
    let first = usize::try_from(first).map_err(|_| stale())?;
    let rest = log.get(first..).ok_or_else(stale)?;
    let (repeated, new) = entries.split_at(rest.len().min(entries.len()));
    if !rest.starts_with(repeated) {
        return Err(stale());
    }
    Ok(new)
}

fn apply(
    account: &mut Account,
    membership: &mut Membership,
    entry: &SignedEntry,
    limits: &Limits,
) -> Result<RangeInclusive<u64>, Refusal> {
    match membership.append(entry).map_err(refusal)? {
        Changed::Added(member) => {
            // There is always room left to remove every device, whatever happens.
            let removals = membership.members().len() as u64;
            if membership.count() + removals > u64::from(limits.membership_entries_max) {
                let text = format!(
                    "this account's membership log has {} entries, and this relay keeps {} at the most, \
                     of which some are held free for removals; found a new account",
                    membership.count() - 1,
                    limits.membership_entries_max
                );
                return Err(Refusal::new(Code::QuotaDevices, text));
            }
            if account.devices.len() >= limits.account_devices_max as usize {
                let text = format!(
                    "this account has {} devices, the most this relay allows; remove one first",
                    account.devices.len()
                );
                return Err(Refusal::new(Code::QuotaDevices, text));
            }
            add_device(account, &member);
            Ok(EMPTY)
        }
        Changed::Removed(member) => Ok(remove_device(account, &member.device)),
    }
}

/// A device that joins has everything still before it.
fn add_device(account: &mut Account, member: &Member) {
    account.devices.push(Device {
        device_index: device_index(member),
        key: member.device,
        cursor: 0,
        push_number: 0,
        gap: None,
    });
}

/// What the leaving device had not acknowledged may now be needed by nobody.
fn remove_device(account: &mut Account, device: &DeviceKey) -> RangeInclusive<u64> {
    let position = account.devices.iter().position(|one| one.key == *device);
    let left = account
        .devices
        .remove(position.expect("the log and the account name the same members"));
    left.cursor + 1..=account.head
}

/// A member's name within its account.
///
/// # Panics
/// Never: a log has far fewer entries than 2³².
pub fn device_index(member: &Member) -> DeviceIndex {
    DeviceIndex(u32::try_from(member.device_index).expect("bounded by membership_entries_max"))
}

/// How an invalid entry is answered.
pub fn refusal(invalid: InvalidEntry) -> Refusal {
    match invalid {
        InvalidEntry::Stale { expected } => {
            Refusal::new(Code::StaleMembership, invalid.to_string()).expected(expected)
        }
        _ => Refusal::new(Code::InvalidMembership, invalid.to_string()),
    }
}
