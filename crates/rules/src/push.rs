//! Acceptance of pushed envelopes.

use graceful_protocol::wire::Envelope;
use graceful_protocol::{Chain, Code, DeviceKey, Limits, Refusal, chain, envelope};

use super::account::ENVELOPE_OVERHEAD_BYTES;
use super::{Account, DeviceIndex, EnvelopeMeta, Recipient};

/// A pushed envelope with its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingEnvelope {
    /// The envelope as received.
    pub envelope: Envelope,
    /// SHA-256 for the running hash. Computed in the session, since the writer is shared.
    pub digest: [u8; 32],
}

impl From<Envelope> for IncomingEnvelope {
    fn from(envelope: Envelope) -> Self {
        let digest = chain::digest(&envelope.sealed);
        Self { envelope, digest }
    }
}

/// Decision on a push that is not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushDecision {
    /// Stored before: confirm it again, store nothing.
    Duplicate,
    /// Store it at this position.
    Accept {
        /// Position, sender, recipient and size.
        meta: EnvelopeMeta,
        /// Running hash through this position.
        chain: Chain,
    },
}

/// Retry delay of an account over quota in milliseconds; acks may free space at any time.
const FULL_RETRY_MS: u64 = 30_000;

/// Checks the number of envelopes in one frame.
///
/// # Errors
/// A [`Refusal`] with the first push number.
pub fn check_count(envelopes: &[IncomingEnvelope], limits: &Limits) -> Result<(), Refusal> {
    let (count, most) = (envelopes.len(), limits.push_envelopes_max);
    if count <= most as usize {
        return Ok(());
    }
    let first = envelopes
        .first()
        .map_or(0, |incoming| incoming.envelope.push_number);
    let text = format!("push has {count} envelopes; the limit is {most}");
    Err(Refusal::new(Code::TooManyEnvelopes, text).push_number(first))
}

/// Decides one push and applies it to the account. On refusal nothing changes.
///
/// # Errors
/// A [`Refusal`] with the push number.
pub fn push(
    account: &mut Account,
    sender: DeviceIndex,
    incoming: &IncomingEnvelope,
    limits: &Limits,
) -> Result<PushDecision, Refusal> {
    let number = incoming.envelope.push_number;
    decide(account, sender, incoming, limits).map_err(|refusal| refusal.push_number(number))
}

fn decide(
    account: &mut Account,
    sender: DeviceIndex,
    IncomingEnvelope {
        envelope: pushed,
        digest,
    }: &IncomingEnvelope,
    limits: &Limits,
) -> Result<PushDecision, Refusal> {
    let device = account.device(sender).ok_or_else(Refusal::not_a_member)?;
    if pushed.push_number <= device.push_number {
        return Ok(PushDecision::Duplicate);
    }
    let expected = device.push_number + 1;
    if pushed.push_number != expected {
        let text = format!(
            "expected push {expected}, got {}; resend from {expected}",
            pushed.push_number
        );
        return Err(Refusal::new(Code::PushOutOfOrder, text).expected(expected));
    }
    check_form(&pushed.sealed, limits)?;
    let size = u32::try_from(pushed.sealed.len()).expect("bounded by envelope_bytes_max");
    let recipient = recipient(account, sender, &pushed.recipient)?;
    check_quota(account, u64::from(size), limits)?;

    let sender_key = device.key;
    let meta = EnvelopeMeta {
        seq: account.head + 1,
        sender,
        recipient,
        size,
    };
    let chain = chain::extend_by_digest(&account.chain, meta.seq, &sender_key, digest);
    place(account, &meta, chain);
    Ok(PushDecision::Accept { meta, chain })
}

/// A sender that has acknowledged everything before its own envelope also has that envelope.
fn place(account: &mut Account, meta: &EnvelopeMeta, chain: Chain) {
    account.add(meta);
    let head = account.head;
    let device = account
        .device_mut(meta.sender)
        .expect("decided for a member");
    device.push_number += 1;
    if device.cursor == head {
        device.cursor = meta.seq;
    }
    account.head = meta.seq;
    account.chain = chain;
}

fn check_form(sealed: &[u8], limits: &Limits) -> Result<(), Refusal> {
    if sealed.len() as u64 > limits.envelope_bytes_max {
        let text = format!(
            "envelope has {} bytes; the limit is {}",
            sealed.len(),
            limits.envelope_bytes_max
        );
        return Err(Refusal::new(Code::EnvelopeTooLarge, text));
    }
    if !envelope::has_sealed_form(sealed) {
        let text = "envelope is not sealed; the relay stores only ciphertext";
        return Err(Refusal::new(Code::NotSealed, text));
    }
    Ok(())
}

fn recipient(account: &Account, sender: DeviceIndex, named: &[u8]) -> Result<Recipient, Refusal> {
    if named.is_empty() {
        return Ok(Recipient::Everyone);
    }
    let unknown = || {
        Refusal::new(
            Code::UnknownRecipient,
            "the recipient is not another device of this account",
        )
    };
    let key = DeviceKey::try_from(named).map_err(|_| unknown())?;
    match account.device_by_key(&key) {
        Some(device) if device.device_index != sender => Ok(Recipient::One(device.device_index)),
        _ => Err(unknown()),
    }
}

fn check_quota(account: &Account, size: u64, limits: &Limits) -> Result<(), Refusal> {
    if account.stored_envelopes >= account.quota.envelopes_max(limits) {
        let text = format!(
            "the account stores {} envelopes, its quota; connect the devices that have not fetched them, or \
             remove unused ones",
            account.stored_envelopes
        );
        return Err(Refusal::new(Code::QuotaEnvelopes, text).retry_after_ms(FULL_RETRY_MS));
    }
    let bytes_max = account.quota.bytes_max(limits);
    if account.stored_bytes + size + ENVELOPE_OVERHEAD_BYTES > bytes_max {
        let text = format!(
            "the account stores {} of {} bytes, its quota; connect the devices that have not fetched them, or \
             remove unused ones",
            account.stored_bytes, bytes_max
        );
        return Err(Refusal::new(Code::QuotaBytes, text).retry_after_ms(FULL_RETRY_MS));
    }
    Ok(())
}
