//! Whether a pushed envelope is kept, and where.

use graceful_protocol::wire::Envelope;
use graceful_protocol::{Chain, Code, DeviceKey, Limits, Refusal, chain, envelope};

use super::account::ENVELOPE_OVERHEAD_BYTES;
use super::{Account, Addressee, Kept, Ordinal};

/// An envelope that a device pushes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// As it came.
    pub envelope: Envelope,
    /// What stands for it in the running hash. Made before the writer has it, who works for everybody.
    pub digest: [u8; 32],
}

impl From<Envelope> for Offered {
    fn from(envelope: Envelope) -> Self {
        let digest = chain::digest(&envelope.sealed);
        Self { envelope, digest }
    }
}

/// What becomes of a push that is not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was kept before: answered as kept, stored once.
    Repeat,
    /// It goes to this place in the log.
    Keep {
        /// Place, sender, addressee, size.
        kept: Kept,
        /// Running hash through this place.
        chain: Chain,
    },
}

/// How long a device whose account is full should wait: acks come any moment.
const FULL_RETRY_MS: u64 = 30_000;

/// Whether this many may come in one frame.
///
/// # Errors
/// A [`Refusal`] that names the first push number.
pub fn check_count(envelopes: &[Offered], limits: &Limits) -> Result<(), Refusal> {
    let (count, most) = (envelopes.len(), limits.push_envelopes_max);
    if count <= most as usize {
        return Ok(());
    }
    let first = envelopes
        .first()
        .map_or(0, |offered| offered.envelope.push_number);
    let text = format!("a push of {count} envelopes; this relay takes {most} at a time");
    Err(Refusal::new(Code::TooManyEnvelopes, text).push_number(first))
}

/// Decides one push and takes it into the account. On refusal nothing changes.
///
/// # Errors
/// A [`Refusal`] that names the push number.
pub fn push(
    account: &mut Account,
    sender: Ordinal,
    offered: &Offered,
    limits: &Limits,
) -> Result<Verdict, Refusal> {
    let number = offered.envelope.push_number;
    decide(account, sender, offered, limits).map_err(|refusal| refusal.push_number(number))
}

fn decide(
    account: &mut Account,
    sender: Ordinal,
    Offered {
        envelope: pushed,
        digest,
    }: &Offered,
    limits: &Limits,
) -> Result<Verdict, Refusal> {
    let device = account.device(sender).ok_or_else(Refusal::not_a_member)?;
    if pushed.push_number <= device.push_number {
        return Ok(Verdict::Repeat);
    }
    let expected = device.push_number + 1;
    if pushed.push_number != expected {
        let text = format!(
            "push {} came where {expected} is due; go on from there",
            pushed.push_number
        );
        return Err(Refusal::new(Code::PushOutOfOrder, text).expected(expected));
    }
    check_form(&pushed.sealed, limits)?;
    let size = u32::try_from(pushed.sealed.len()).expect("bounded by envelope_bytes_max");
    let addressee = addressee(account, sender, &pushed.addressee)?;
    check_quota(account, u64::from(size), limits)?;

    let sender_key = device.key;
    let kept = Kept {
        seq: account.head + 1,
        sender,
        addressee,
        size,
    };
    let chain = chain::extend_by_digest(&account.chain, kept.seq, &sender_key, digest);
    place(account, &kept, chain);
    Ok(Verdict::Keep { kept, chain })
}

/// A sender that had everything before its own envelope has everything with it.
fn place(account: &mut Account, kept: &Kept, chain: Chain) {
    account.take_in(kept);
    let head = account.head;
    let device = account
        .device_mut(kept.sender)
        .expect("decided for a member");
    device.push_number += 1;
    if device.cursor == head {
        device.cursor = kept.seq;
    }
    account.head = kept.seq;
    account.chain = chain;
}

fn check_form(sealed: &[u8], limits: &Limits) -> Result<(), Refusal> {
    if sealed.len() as u64 > limits.envelope_bytes_max {
        let text = format!(
            "an envelope of {} bytes is over this relay's limit of {}",
            sealed.len(),
            limits.envelope_bytes_max
        );
        return Err(Refusal::new(Code::EnvelopeTooLarge, text));
    }
    if !envelope::has_sealed_form(sealed) {
        let text =
            "this is not a sealed envelope; the relay keeps nothing it might be able to read";
        return Err(Refusal::new(Code::NotSealed, text));
    }
    Ok(())
}

fn addressee(account: &Account, sender: Ordinal, named: &[u8]) -> Result<Addressee, Refusal> {
    if named.is_empty() {
        return Ok(Addressee::Everyone);
    }
    let unknown = || {
        Refusal::new(
            Code::UnknownAddressee,
            "the addressee is not another device of this account",
        )
    };
    let key = DeviceKey::try_from(named).map_err(|_| unknown())?;
    match account.device_by_key(&key) {
        Some(device) if device.ordinal != sender => Ok(Addressee::One(device.ordinal)),
        _ => Err(unknown()),
    }
}

fn check_quota(account: &Account, size: u64, limits: &Limits) -> Result<(), Refusal> {
    if account.envelopes_kept >= account.quota.envelopes_max(limits) {
        let text = format!(
            "the relay already keeps {} envelopes for this account; connect the devices that have not fetched them, \
             or remove those that never will",
            account.envelopes_kept
        );
        return Err(Refusal::new(Code::QuotaEnvelopes, text).retry_after_ms(FULL_RETRY_MS));
    }
    let bytes_max = account.quota.bytes_max(limits);
    if account.bytes_kept + size + ENVELOPE_OVERHEAD_BYTES > bytes_max {
        let text = format!(
            "the relay already keeps {} of {} bytes for this account; connect the devices that have not fetched them, \
             or remove those that never will",
            account.bytes_kept, bytes_max
        );
        return Err(Refusal::new(Code::QuotaBytes, text).retry_after_ms(FULL_RETRY_MS));
    }
    Ok(())
}
