//! The account as this device sees it: members, epoch secrets and device names.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::keys::{DeviceKeys, EpochSecret};
use crate::mnemonic::RecoveryKey;
use crate::pairing::{Account, Joining};
use crate::rng::{CryptoRng, random};
use crate::seal::EpochKeys;
use crate::wrap::{WrapError, Wrapping, unwrap, wrap};
use graceful_protocol::membership::{self, Changed, InvalidEntry, Membership};
use graceful_protocol::recovery::sign_genesis;
use graceful_protocol::wire::membership_entry::Change;
use graceful_protocol::wire::{
    AddDevice, Genesis, MembershipEntry, RemoveDevice, SignedEntry, WrappedSecret,
};
use graceful_protocol::{AccountId, DeviceKey, EntryHash};

/// The verified membership log and everything derived from it for this device.
#[derive(Debug, Clone)]
pub struct AccountView {
    keys: DeviceKeys,
    membership: Membership,
    entries: Vec<SignedEntry>,
    hashes: Vec<EntryHash>,
    /// The key epoch after each entry.
    key_epochs: Vec<u32>,
    secrets: BTreeMap<u32, EpochSecret>,
    epoch_keys: BTreeMap<u32, EpochKeys>,
    names: BTreeMap<DeviceKey, String>,
}

/// Why a membership entry cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// The membership log rejects the entry.
    #[error(transparent)]
    Entry(#[from] InvalidEntry),
    /// A member's agreement key is not usable for wrapping.
    #[error(transparent)]
    Wrap(#[from] WrapError),
}

/// Signs the genesis entry of an account with one device. `secret` belongs to key epoch 0.
pub fn genesis_entry(
    keys: &DeviceKeys,
    secret: &EpochSecret,
    recovery: Option<&RecoveryKey>,
    rng: &mut dyn CryptoRng,
) -> SignedEntry {
    let mut found = Genesis {
        agreement_key: keys.agreement().public().to_wire(),
        salt: Bytes::copy_from_slice(&random::<32>(rng)),
        ..Genesis::default()
    };
    if let Some(recovery) = recovery {
        set_recovery_key(&mut found, &keys.device(), secret, &recovery.keys(), rng);
    }
    let entry = MembershipEntry {
        index: 0,
        previous: Bytes::new(),
        author: keys.device().to_wire(),
        change: Some(Change::Genesis(found)),
    };
    membership::sign(&entry, keys.signing())
}

/// Adds a recovery key to a genesis: wraps the first secret to it and signs with it.
fn set_recovery_key(
    found: &mut Genesis,
    author: &DeviceKey,
    secret: &EpochSecret,
    recovery: &DeviceKeys,
    rng: &mut dyn CryptoRng,
) {
    let (key, agreement) = (recovery.device(), recovery.agreement().public());
    let wrapping = Wrapping {
        account: None,
        key_epoch: 0,
        recipient: &key,
    };
    let wrapped = wrap(secret, &wrapping, &agreement, rng).expect("a generated key is valid");
    found.recovery_key = key.to_wire();
    found.recovery_agreement_key = agreement.to_wire();
    found.recovery_wrapped = Bytes::copy_from_slice(&wrapped);
    let signature = sign_genesis(author, found, recovery.signing());
    found.recovery_signature = Bytes::copy_from_slice(&signature);
}

impl AccountView {
    /// Builds a view from a log and the secrets of its first key epochs. Later secrets are
    /// unwrapped from the log.
    ///
    /// # Errors
    /// [`InvalidEntry`]
    pub fn new(
        keys: DeviceKeys,
        entries: &[SignedEntry],
        secrets: &[EpochSecret],
        names: &[(DeviceKey, String)],
    ) -> Result<Self, InvalidEntry> {
        let genesis = entries
            .first()
            .ok_or(InvalidEntry::Malformed("the membership log is empty"))?;
        let membership = Membership::from_genesis(genesis)?;
        let mut view = Self {
            keys,
            membership,
            entries: vec![genesis.clone()],
            hashes: vec![membership::hash(genesis)],
            key_epochs: vec![0],
            secrets: BTreeMap::new(),
            epoch_keys: BTreeMap::new(),
            names: names.iter().cloned().collect(),
        };
        for (key_epoch, secret) in (0..).zip(secrets) {
            view.add_secret(key_epoch, secret.clone());
        }
        for entry in &entries[1..] {
            view.append(entry)?;
        }
        Ok(view)
    }

    /// Appends the next entry of the log.
    ///
    /// # Errors
    /// [`InvalidEntry`]; the view is unchanged.
    pub fn append(&mut self, signed: &SignedEntry) -> Result<Changed, InvalidEntry> {
        let changed = self.membership.append(signed)?;
        self.entries.push(signed.clone());
        self.hashes.push(self.membership.head());
        self.key_epochs.push(self.membership.key_epoch());
        if let Changed::Removed(_) = &changed {
            self.unwrap_own_secret(signed);
        }
        Ok(changed)
    }

    /// A remover that wrapped garbage leaves this device without the secret. Envelopes of that
    /// epoch are then reported as undecryptable, and nothing can be sealed until the next removal.
    fn unwrap_own_secret(&mut self, signed: &SignedEntry) {
        let Ok(MembershipEntry {
            change: Some(Change::Remove(remove)),
            ..
        }) = membership::open(signed)
        else {
            return;
        };
        let (device, account) = (self.keys.device(), self.account());
        let key_epoch = self.membership.key_epoch();
        let wrapping = Wrapping {
            account: Some(&account),
            key_epoch,
            recipient: &device,
        };
        let own = remove
            .secrets
            .iter()
            .find(|secret| *secret.device == *device.as_bytes());
        // In recovery, the view belongs to the recovery key, not to a member device.
        let is_recovery = self
            .membership
            .recovery()
            .is_some_and(|recovery| recovery.key == device);
        let own = own
            .map(|own| &own.wrapped)
            .or(is_recovery.then_some(&remove.recovery_wrapped));
        if let Some(Ok(secret)) = own.map(|own| unwrap(own, &wrapping, self.keys.agreement())) {
            self.add_secret(key_epoch, secret);
        }
    }

    fn add_secret(&mut self, key_epoch: u32, secret: EpochSecret) {
        self.epoch_keys
            .insert(key_epoch, EpochKeys::derive(&secret, &self.account()));
        self.secrets.insert(key_epoch, secret);
    }

    /// Signs an entry that adds a device. The log does not contain it yet.
    ///
    /// # Errors
    /// [`MembershipError`]
    pub fn sign_add(&self, joining: &Joining) -> Result<SignedEntry, MembershipError> {
        let add = AddDevice {
            device: joining.device.to_wire(),
            agreement_key: joining.agreement.to_wire(),
        };
        self.sign(Change::Add(add))
    }

    /// Signs an entry that removes a device, with a fresh secret for the remaining members.
    ///
    /// # Errors
    /// [`MembershipError`]
    pub fn sign_remove(
        &self,
        device: &DeviceKey,
        rng: &mut dyn CryptoRng,
    ) -> Result<SignedEntry, MembershipError> {
        let secret = EpochSecret::random(rng);
        let account = self.account();
        let key_epoch = self.membership.key_epoch() + 1;
        let mut secrets = Vec::new();
        for member in self
            .membership
            .members()
            .iter()
            .filter(|member| member.device != *device)
        {
            let wrapping = Wrapping {
                account: Some(&account),
                key_epoch,
                recipient: &member.device,
            };
            let wrapped = wrap(&secret, &wrapping, &member.agreement, rng)?;
            secrets.push(WrappedSecret {
                device: member.device.to_wire(),
                wrapped: Bytes::copy_from_slice(&wrapped),
            });
        }
        let mut recovery_wrapped = Bytes::new();
        if let Some(recovery) = self.membership.recovery() {
            let wrapping = Wrapping {
                account: Some(&account),
                key_epoch,
                recipient: &recovery.key,
            };
            recovery_wrapped =
                Bytes::copy_from_slice(&wrap(&secret, &wrapping, &recovery.agreement, rng)?);
        }
        self.sign(Change::Remove(RemoveDevice {
            device: device.to_wire(),
            secrets,
            recovery_wrapped,
        }))
    }

    fn sign(&self, change: Change) -> Result<SignedEntry, MembershipError> {
        let entry = MembershipEntry {
            index: self.membership.count(),
            previous: self.membership.head().to_wire(),
            author: self.keys.device().to_wire(),
            change: Some(change),
        };
        let signed = membership::sign(&entry, self.keys.signing());
        self.membership.clone().append(&signed)?;
        Ok(signed)
    }

    /// Returns everything a device needs to join the account, or `None` if a secret is missing
    /// here.
    pub fn bundle(&self) -> Option<Account> {
        let complete = self.secrets.len() as u64 == u64::from(self.membership.key_epoch()) + 1;
        complete.then(|| Account {
            entries: self.entries.clone(),
            secrets: self.secrets.values().cloned().collect(),
            names: self
                .names
                .iter()
                .map(|(device, name)| (*device, name.clone()))
                .collect(),
        })
    }

    /// Sets a device's name. Returns whether it changed.
    pub fn rename(&mut self, device: DeviceKey, name: &str) -> bool {
        self.names.insert(device, name.to_owned()).as_deref() != Some(name)
    }

    /// The keys of this device.
    pub fn keys(&self) -> &DeviceKeys {
        &self.keys
    }

    /// The account id.
    pub fn account(&self) -> AccountId {
        self.membership.account()
    }

    /// The verified membership log.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The signed entries, byte for byte.
    pub fn entries(&self) -> &[SignedEntry] {
        &self.entries
    }

    /// Returns the log's head when it had `count` entries.
    pub fn head_at(&self, count: u64) -> Option<&EntryHash> {
        self.hashes
            .get(usize::try_from(count.checked_sub(1)?).ok()?)
    }

    /// Returns the key epoch when the log had `count` entries.
    pub fn key_epoch_at(&self, count: u64) -> Option<u32> {
        self.key_epochs
            .get(usize::try_from(count.checked_sub(1)?).ok()?)
            .copied()
    }

    /// Returns the keys of an epoch, if this device has its secret.
    pub fn epoch_keys(&self, key_epoch: u32) -> Option<&EpochKeys> {
        self.epoch_keys.get(&key_epoch)
    }

    /// Returns a device's name, if known.
    pub fn name(&self, device: &DeviceKey) -> Option<&str> {
        self.names.get(device).map(String::as_str)
    }

    /// Iterates over all known names.
    pub fn names(&self) -> impl Iterator<Item = (&DeviceKey, &String)> {
        self.names.iter()
    }

    /// Returns the device that added this one, or `None` for the creator of the account.
    pub fn added_by(&self) -> Option<DeviceKey> {
        let own = self.keys.device();
        self.entries.iter().filter_map(|entry| membership::open(entry).ok()).find_map(|entry| {
            let added = matches!(&entry.change, Some(Change::Add(add)) if *add.device == *own.as_bytes());
            added.then(|| DeviceKey::try_from(&*entry.author).ok())?
        })
    }

    /// Returns whether a device is or was a member.
    pub fn was_member(&self, device: &DeviceKey) -> bool {
        self.membership.member(device).is_some() || self.membership.removed().contains(device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SeededRng;

    fn joining(keys: &DeviceKeys) -> Joining {
        Joining {
            device: keys.device(),
            agreement: keys.agreement().public(),
            name: "x".to_owned(),
        }
    }

    #[test]
    fn removal_wraps_new_secret_to_remaining_members_only() {
        let mut rng = SeededRng(1);
        let [one, two, three] = [(); 3].map(|()| DeviceKeys::random(&mut rng));
        let secrets = [EpochSecret::random(&mut rng)];
        let genesis = genesis_entry(&one, &secrets[0], None, &mut rng);
        let mut first = AccountView::new(one, &[genesis], &secrets, &[]).unwrap();
        for keys in [&two, &three] {
            let entry = first.sign_add(&joining(keys)).unwrap();
            first.append(&entry).unwrap();
        }
        let removal = first.sign_remove(&three.device(), &mut rng).unwrap();
        let view = |keys: &DeviceKeys| {
            let mut view = AccountView::new(keys.clone(), first.entries(), &secrets, &[]).unwrap();
            view.append(&removal).unwrap();
            view
        };
        let (second, third) = (view(&two), view(&three));
        first.append(&removal).unwrap();
        assert_eq!(first.secrets.get(&1), second.secrets.get(&1));
        assert!(first.epoch_keys(1).is_some());
        assert!(third.epoch_keys(1).is_none() && third.bundle().is_none());
        assert!(first.was_member(&three.device()));
        assert!(
            first.sign_add(&joining(&three)).is_err(),
            "a removed device stays removed"
        );
        assert_eq!(first.bundle().map(|bundle| bundle.secrets.len()), Some(2));
    }
}
