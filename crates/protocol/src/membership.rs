//! The membership log: a hash chain of signed entries that names an account's devices. Relay and
//! client both validate it with [`Membership`].

use bytes::Bytes;
use ed25519_dalek::{Signer, SigningKey};
use prost::Message;
use sha2::{Digest, Sha256};

use super::challenge::verify;
use super::limits::ENTRY_BYTES_MAX;
use super::recovery::recovery_key_consents;
use super::wire::membership_entry::Change;
use super::wire::{AddDevice, Genesis, MembershipEntry, RemoveDevice, SignedEntry};
use super::{AccountId, AgreementKey, DeviceKey, EntryHash};

const SIGNATURE_DOMAIN: &[u8] = b"graceful-relay/1 membership\0";
const HASH_DOMAIN: &[u8] = b"graceful-relay/1 entry\0";

/// Size of an epoch secret wrapped with HPKE: encapsulated key, ciphertext and tag.
pub const WRAPPED_BYTES: usize = 32 + 32 + 16;

/// A member device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Index of the entry that added it; never reused.
    pub device_index: u64,
    /// Signing key.
    pub device: DeviceKey,
    /// Key to which secrets are wrapped.
    pub agreement: AgreementKey,
}

/// The key pair derived from the recovery phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// Signing key: may add a device when all are lost.
    pub key: DeviceKey,
    /// Key to which epoch secrets are wrapped.
    pub agreement: AgreementKey,
}

/// The validated state of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    account: AccountId,
    count: u64,
    head: EntryHash,
    key_epoch: u32,
    members: Vec<Member>,
    removed: Vec<DeviceKey>,
    recovery: Option<Recovery>,
}

/// Effect of an accepted entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// The device joined.
    Added(Member),
    /// The device was removed and a new key epoch started.
    Removed(Member),
}

/// Reason to reject an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEntry {
    /// It does not follow the newest entry.
    #[error("the entry does not follow the newest one; the next index is {expected}")]
    Stale {
        /// The expected index.
        expected: u64,
    },
    /// It cannot be decoded.
    #[error("not a membership entry: {0}")]
    Malformed(&'static str),
    /// Its signature is not the author's.
    #[error("the entry's signature is wrong")]
    Signature,
    /// The recovery key did not sign the genesis entry that names it.
    #[error("the recovery key did not sign this genesis entry")]
    Recovery,
    /// Only members and the recovery key may author entries.
    #[error("the entry's author is not a member")]
    Author,
    /// The device is a member already.
    #[error("the device is a member already")]
    AlreadyMember,
    /// A removed device has to join with new keys.
    #[error("the device was removed before; it must join with new keys")]
    WasRemoved,
    /// The device to remove is no member.
    #[error("the device to remove is not a member")]
    NoSuchMember,
    /// A leaving device must not know the next epoch secret, so another device has to remove it.
    #[error("a device cannot remove itself; remove it from another device, or delete the account")]
    SelfRemoval,
    /// The new epoch secret must be wrapped for every remaining device and no other.
    #[error("the entry must wrap the new secret once for each remaining device")]
    Secrets,
}

/// Signs domain ‖ body.
pub fn sign(entry: &MembershipEntry, key: &SigningKey) -> SignedEntry {
    let body = entry.encode_to_vec();
    let signature = key.sign(&signed_message(&body)).to_bytes();
    SignedEntry {
        body: body.into(),
        signature: Bytes::copy_from_slice(&signature),
    }
}

/// Returns the hash that the next entry names: SHA-256(domain ‖ body length as 8 bytes ‖ body ‖
/// signature).
pub fn hash(entry: &SignedEntry) -> EntryHash {
    let mut hash = Sha256::new();
    hash.update(HASH_DOMAIN);
    hash.update((entry.body.len() as u64).to_be_bytes());
    hash.update(&entry.body);
    hash.update(&entry.signature);
    EntryHash::new(hash.finalize().into())
}

/// Returns the account id that this genesis entry creates.
pub fn account_id(genesis: &SignedEntry) -> AccountId {
    AccountId::new(*hash(genesis).as_bytes())
}

/// Whether to verify signatures or to trust those verified on receipt.
#[derive(Clone, Copy)]
enum Signatures {
    Check,
    Known,
}

impl Signatures {
    fn check(self, author: &DeviceKey, signed: &SignedEntry) -> Result<(), InvalidEntry> {
        match self {
            Self::Known => Ok(()),
            Self::Check if verify(author, &signed_message(&signed.body), &signed.signature) => {
                Ok(())
            }
            Self::Check => Err(InvalidEntry::Signature),
        }
    }
}

fn signed_message(body: &[u8]) -> Vec<u8> {
    [SIGNATURE_DOMAIN, body].concat()
}

impl Membership {
    /// Validates a genesis entry.
    ///
    /// # Errors
    /// [`InvalidEntry`]
    pub fn from_genesis(signed: &SignedEntry) -> Result<Self, InvalidEntry> {
        Self::begin(signed, Signatures::Check)
    }

    fn begin(signed: &SignedEntry, signatures: Signatures) -> Result<Self, InvalidEntry> {
        let entry = open(signed)?;
        let author = device_key(&entry.author)?;
        let Some(Change::Genesis(genesis)) = &entry.change else {
            return Err(InvalidEntry::Malformed(
                "the first entry must be a genesis entry",
            ));
        };
        if entry.index != 0 || !entry.previous.is_empty() {
            return Err(InvalidEntry::Malformed(
                "the genesis entry must have index 0 and no predecessor",
            ));
        }
        signatures.check(&author, signed)?;
        let agreement = agreement_key(&genesis.agreement_key)?;
        Ok(Self {
            account: account_id(signed),
            count: 1,
            head: hash(signed),
            key_epoch: 0,
            members: vec![Member {
                device_index: 0,
                device: author,
                agreement,
            }],
            removed: Vec::new(),
            recovery: recovery(genesis, &author, signatures)?,
        })
    }

    /// Validates a whole log.
    ///
    /// # Errors
    /// [`InvalidEntry`] of the first invalid entry.
    pub fn replay<'a>(
        entries: impl IntoIterator<Item = &'a SignedEntry>,
    ) -> Result<Self, InvalidEntry> {
        Self::run(entries, Signatures::Check)
    }

    /// Replays a log that was validated on receipt, without verifying signatures again.
    ///
    /// # Errors
    /// [`InvalidEntry`] of the first invalid entry.
    pub fn replay_trusted<'a>(
        entries: impl IntoIterator<Item = &'a SignedEntry>,
    ) -> Result<Self, InvalidEntry> {
        Self::run(entries, Signatures::Known)
    }

    fn run<'a>(
        entries: impl IntoIterator<Item = &'a SignedEntry>,
        signatures: Signatures,
    ) -> Result<Self, InvalidEntry> {
        let mut entries = entries.into_iter();
        let genesis = entries
            .next()
            .ok_or(InvalidEntry::Malformed("the log is empty"))?;
        let mut membership = Self::begin(genesis, signatures)?;
        for entry in entries {
            membership.take(entry, signatures)?;
        }
        Ok(membership)
    }

    /// Validates and applies the next entry. On error nothing changes.
    ///
    /// # Errors
    /// [`InvalidEntry`]
    pub fn append(&mut self, signed: &SignedEntry) -> Result<Changed, InvalidEntry> {
        self.take(signed, Signatures::Check)
    }

    fn take(
        &mut self,
        signed: &SignedEntry,
        signatures: Signatures,
    ) -> Result<Changed, InvalidEntry> {
        let entry = open(signed)?;
        if entry.index != self.count || *entry.previous != *self.head.as_bytes() {
            return Err(InvalidEntry::Stale {
                expected: self.count,
            });
        }
        let author = device_key(&entry.author)?;
        if !self.may_author(&author) {
            return Err(InvalidEntry::Author);
        }
        signatures.check(&author, signed)?;
        let changed = match &entry.change {
            Some(Change::Add(add)) => self.add(add)?,
            Some(Change::Remove(remove)) => self.remove(&author, remove)?,
            Some(Change::Genesis(_)) => {
                return Err(InvalidEntry::Malformed(
                    "only the first entry may be a genesis entry",
                ));
            }
            None => {
                return Err(InvalidEntry::Malformed(
                    "an unknown change; the author runs a newer version",
                ));
            }
        };
        self.count += 1;
        self.head = hash(signed);
        Ok(changed)
    }

    fn may_author(&self, key: &DeviceKey) -> bool {
        self.member(key).is_some() || self.recovery.is_some_and(|recovery| recovery.key == *key)
    }

    fn add(&mut self, add: &AddDevice) -> Result<Changed, InvalidEntry> {
        let device = device_key(&add.device)?;
        let agreement = agreement_key(&add.agreement_key)?;
        if self.may_author(&device) {
            return Err(InvalidEntry::AlreadyMember);
        }
        if self.removed.contains(&device) {
            return Err(InvalidEntry::WasRemoved);
        }
        let member = Member {
            device_index: self.count,
            device,
            agreement,
        };
        self.members.push(member.clone());
        Ok(Changed::Added(member))
    }

    fn remove(
        &mut self,
        author: &DeviceKey,
        remove: &RemoveDevice,
    ) -> Result<Changed, InvalidEntry> {
        let device = device_key(&remove.device)?;
        if device == *author {
            return Err(InvalidEntry::SelfRemoval);
        }
        let position = self
            .members
            .iter()
            .position(|member| member.device == device)
            .ok_or(InvalidEntry::NoSuchMember)?;
        self.check_secrets(&device, remove)?;
        let member = self.members.remove(position);
        self.removed.push(device);
        self.key_epoch += 1;
        Ok(Changed::Removed(member))
    }

    /// Checks for one secret per remaining member, in order, and one for the recovery key.
    fn check_secrets(
        &self,
        leaving: &DeviceKey,
        remove: &RemoveDevice,
    ) -> Result<(), InvalidEntry> {
        let remaining = self
            .members
            .iter()
            .filter(|member| member.device != *leaving);
        let complete = remaining
            .map(|member| member.device.as_bytes().as_slice())
            .eq(remove.secrets.iter().map(|secret| &*secret.device));
        let sized = remove
            .secrets
            .iter()
            .all(|secret| secret.wrapped.len() == WRAPPED_BYTES);
        let recovery = if self.recovery.is_some() {
            WRAPPED_BYTES
        } else {
            0
        };
        if complete && sized && remove.recovery_wrapped.len() == recovery {
            Ok(())
        } else {
            Err(InvalidEntry::Secrets)
        }
    }

    /// Returns the account id.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// Returns the number of entries, which is the index of the next.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the hash of the newest entry.
    pub fn head(&self) -> EntryHash {
        self.head
    }

    /// Returns the key epoch: the number of removals.
    pub fn key_epoch(&self) -> u32 {
        self.key_epoch
    }

    /// Returns the members in the order in which they joined.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Returns the removed devices in order.
    pub fn removed(&self) -> &[DeviceKey] {
        &self.removed
    }

    /// Returns the member with this key.
    pub fn member(&self, device: &DeviceKey) -> Option<&Member> {
        self.members.iter().find(|member| member.device == *device)
    }

    /// Returns the recovery keys, if the genesis entry names some.
    pub fn recovery(&self) -> Option<Recovery> {
        self.recovery
    }
}

/// Decodes an entry without verifying its signature.
///
/// # Errors
/// [`InvalidEntry::Malformed`]
pub fn open(signed: &SignedEntry) -> Result<MembershipEntry, InvalidEntry> {
    if signed.body.len() + signed.signature.len() > ENTRY_BYTES_MAX {
        return Err(InvalidEntry::Malformed("it exceeds the size limit"));
    }
    MembershipEntry::decode(signed.body.clone())
        .map_err(|_| InvalidEntry::Malformed("not protobuf"))
}

fn device_key(bytes: &[u8]) -> Result<DeviceKey, InvalidEntry> {
    DeviceKey::try_from(bytes).map_err(|_| InvalidEntry::Malformed("a device key has 32 bytes"))
}

fn agreement_key(bytes: &[u8]) -> Result<AgreementKey, InvalidEntry> {
    AgreementKey::try_from(bytes)
        .map_err(|_| InvalidEntry::Malformed("an agreement key has 32 bytes"))
}

fn recovery(
    genesis: &Genesis,
    author: &DeviceKey,
    signatures: Signatures,
) -> Result<Option<Recovery>, InvalidEntry> {
    let rest = [
        &genesis.recovery_agreement_key,
        &genesis.recovery_wrapped,
        &genesis.recovery_signature,
    ];
    if genesis.recovery_key.is_empty() {
        let none = rest.iter().all(|part| part.is_empty());
        return if none {
            Ok(None)
        } else {
            Err(InvalidEntry::Malformed("the recovery key is incomplete"))
        };
    }
    if genesis.recovery_wrapped.len() != WRAPPED_BYTES {
        return Err(InvalidEntry::Secrets);
    }
    let key = device_key(&genesis.recovery_key)?;
    let agreement = agreement_key(&genesis.recovery_agreement_key)?;
    match signatures {
        Signatures::Check if !recovery_key_consents(author, genesis, &key) => {
            Err(InvalidEntry::Recovery)
        }
        _ => Ok(Some(Recovery { key, agreement })),
    }
}
