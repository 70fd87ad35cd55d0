//! Account creation and changes of the membership.

use std::ops::RangeInclusive;

use graceful_protocol::membership::{Changed, InvalidEntry, Member, Membership};
use graceful_protocol::wire::SignedEntry;
use graceful_protocol::{Code, DeviceKey, Limits, Refusal};

use super::ack::EMPTY;
use super::{Account, AccountNumber, Device, DeviceIndex};

/// Registration policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Registration {
    /// Anyone may create an account.
    Open,
    /// Each account needs an invitation.
    #[default]
    Invite,
    /// No new accounts.
    Closed,
}

/// Creates an account from its genesis entry.
///
/// # Errors
/// Refused by the registration policy, or an invalid entry.
pub fn create_account(
    number: AccountNumber,
    entry: &SignedEntry,
    by: &DeviceKey,
    registration: Registration,
    invited: bool,
) -> Result<Account, Refusal> {
    match registration {
        Registration::Closed => {
            let text = "this relay accepts no new accounts";
            return Err(Refusal::new(Code::RegistrationClosed, text));
        }
        Registration::Invite if !invited => {
            let text = "registration is invite-only, and the invitation is missing, used or expired; \
                        ask the operator for one (`graceful-relay invite create`)";
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

/// Returns the recovery key of a validated genesis entry, if it names one.
pub fn recovery_key(genesis: &SignedEntry) -> Option<DeviceKey> {
    Some(Membership::replay_trusted([genesis]).ok()?.recovery()?.key)
}

/// Result of appending entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Entries to write, from the index that `Account::membership_count` had before.
    pub new: Vec<SignedEntry>,
    /// Seqs whose envelopes may have become unneeded, as for an ack.
    pub released: Vec<RangeInclusive<u64>>,
}

/// Checks entries against the log and applies all or none. Entries already in the log are skipped.
///
/// # Errors
/// The first invalid entry, or a limit.
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

/// Returns the entries that extend the log.
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
            // Entries are reserved so that every device can always be removed.
            let removals = membership.members().len() as u64;
            if membership.count() + removals > u64::from(limits.membership_entries_max) {
                let text = format!(
                    "the membership log has {} of {} entries, and the rest is reserved for removals; \
                     create a new account",
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

/// A new device starts at seq 0 and receives everything stored.
fn add_device(account: &mut Account, member: &Member) {
    account.devices.push(Device {
        device_index: device_index(member),
        key: member.device,
        cursor: 0,
        push_number: 0,
        gap: None,
    });
}

/// Envelopes that only the removed device had not acknowledged may now be unneeded.
fn remove_device(account: &mut Account, device: &DeviceKey) -> RangeInclusive<u64> {
    let position = account.devices.iter().position(|one| one.key == *device);
    let left = account
        .devices
        .remove(position.expect("the log and the account name the same members"));
    left.cursor + 1..=account.head
}

/// Returns a member's index within its account.
///
/// # Panics
/// Never: a log has far fewer entries than 2³².
pub fn device_index(member: &Member) -> DeviceIndex {
    DeviceIndex(u32::try_from(member.device_index).expect("bounded by membership_entries_max"))
}

/// Returns the refusal of an invalid entry.
pub fn refusal(invalid: InvalidEntry) -> Refusal {
    match invalid {
        InvalidEntry::Stale { expected } => {
            Refusal::new(Code::StaleMembership, invalid.to_string()).expected(expected)
        }
        _ => Refusal::new(Code::InvalidMembership, invalid.to_string()),
    }
}
