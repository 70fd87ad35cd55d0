//! The account as this device sees it: who belongs, which secrets it holds, what devices are called.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::keys::{DeviceKeys, EpochSecret};
use super::mnemonic::RecoveryKey;
use super::pairing::{Account, Joining};
use super::rng::{CryptoRng, random};
use super::seal::EpochKeys;
use super::wrap::{WrapError, Wrapping, unwrap, wrap};
use graceful_protocol::membership::{self, Changed, InvalidEntry, Membership};
use graceful_protocol::recovery::sign_genesis;
use graceful_protocol::wire::membership_entry::Change;
use graceful_protocol::wire::{
    AddDevice, Genesis, MembershipEntry, RemoveDevice, SignedEntry, WrappedSecret,
};
use graceful_protocol::{AccountId, DeviceKey, EntryHash};

/// Checked membership, and what follows from it for this device.
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

/// What cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// The log would not take it.
    #[error(transparent)]
    Entry(#[from] InvalidEntry),
    /// A member's agreement key cannot be wrapped to.
    #[error(transparent)]
    Wrap(#[from] WrapError),
}

/// Signs the entry that founds an account of one device. `secret` is that of key epoch 0.
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

/// Names a recovery key in a genesis, hands it the first secret, and has it agree.
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
    let wrapped = wrap(secret, &wrapping, &agreement, rng).expect("a key made here is a key");
    found.recovery_key = key.to_wire();
    found.recovery_agreement_key = agreement.to_wire();
    found.recovery_wrapped = Bytes::copy_from_slice(&wrapped);
    let signature = sign_genesis(author, found, recovery.signing());
    found.recovery_signature = Bytes::copy_from_slice(&signature);
}

impl AccountView {
    /// From a log, and the secrets of its key epochs from 0 on as far as they were handed over;
    /// later ones are unwrapped from the log.
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
            .ok_or(InvalidEntry::Malformed("the log is empty"))?;
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
            view.keep_secret(key_epoch, secret.clone());
        }
        for entry in &entries[1..] {
            view.append(entry)?;
        }
        Ok(view)
    }

    /// Takes in the next entry of the log.
    ///
    /// # Errors
    /// [`InvalidEntry`]; nothing changes then.
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

    /// A remover that wrapped nonsense leaves this device without the secret: what is sealed with
    /// it will be reported as unreadable, and nothing can be sealed until the next removal.
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
        // The log as the recovery key sees it.
        let is_recovery = self
            .membership
            .recovery()
            .is_some_and(|recovery| recovery.key == device);
        let own = own
            .map(|own| &own.wrapped)
            .or(is_recovery.then_some(&remove.recovery_wrapped));
        if let Some(Ok(secret)) = own.map(|own| unwrap(own, &wrapping, self.keys.agreement())) {
            self.keep_secret(key_epoch, secret);
        }
    }

    fn keep_secret(&mut self, key_epoch: u32, secret: EpochSecret) {
        self.epoch_keys
            .insert(key_epoch, EpochKeys::derive(&secret, &self.account()));
        self.secrets.insert(key_epoch, secret);
    }

    /// A signed entry that adds a device; the log does not hold it yet.
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

    /// A signed entry that removes a device, with a fresh secret for those that remain.
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

    /// All that a device needs to be part of the account; `None` if this one lacks a secret itself.
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

    /// Remembers what a device is called. Whether that is news.
    pub fn rename(&mut self, device: DeviceKey, name: &str) -> bool {
        self.names.insert(device, name.to_owned()).as_deref() != Some(name)
    }

    /// This device's keys.
    pub fn keys(&self) -> &DeviceKeys {
        &self.keys
    }

    /// The account's id.
    pub fn account(&self) -> AccountId {
        self.membership.account()
    }

    /// The checked log.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The log itself, byte for byte.
    pub fn entries(&self) -> &[SignedEntry] {
        &self.entries
    }

    /// Head of the log when it had `count` entries, if it ever had.
    pub fn head_at(&self, count: u64) -> Option<&EntryHash> {
        self.hashes
            .get(usize::try_from(count.checked_sub(1)?).ok()?)
    }

    /// The key epoch when the log had `count` entries, if it ever had.
    pub fn key_epoch_at(&self, count: u64) -> Option<u32> {
        self.key_epochs
            .get(usize::try_from(count.checked_sub(1)?).ok()?)
            .copied()
    }

    /// Keys of a key epoch, if this device has its secret.
    pub fn epoch_keys(&self, key_epoch: u32) -> Option<&EpochKeys> {
        self.epoch_keys.get(&key_epoch)
    }

    /// What a device is called, if that is known.
    pub fn name(&self, device: &DeviceKey) -> Option<&str> {
        self.names.get(device).map(String::as_str)
    }

    /// Every name that is known.
    pub fn names(&self) -> impl Iterator<Item = (&DeviceKey, &String)> {
        self.names.iter()
    }

    /// Which device let this one in, if this one did not found the account.
    pub fn added_by(&self) -> Option<DeviceKey> {
        let own = self.keys.device();
        self.entries.iter().filter_map(|entry| membership::open(entry).ok()).find_map(|entry| {
            let added = matches!(&entry.change, Some(Change::Add(add)) if *add.device == *own.as_bytes());
            added.then(|| DeviceKey::try_from(&*entry.author).ok())?
        })
    }

    /// Whether this device is, or once was, part of the account.
    pub fn ever_member(&self, device: &DeviceKey) -> bool {
        self.membership.member(device).is_some() || self.membership.removed().contains(device)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rng::SeededRng;
    use super::*;

    fn joining(keys: &DeviceKeys) -> Joining {
        Joining {
            device: keys.device(),
            agreement: keys.agreement().public(),
            name: "x".to_owned(),
        }
    }

    #[test]
    fn a_removal_gives_the_new_secret_to_those_that_remain_and_to_nobody_else() {
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
        assert!(first.ever_member(&three.device()));
        assert!(
            first.sign_add(&joining(&three)).is_err(),
            "a removed device stays removed"
        );
        assert_eq!(first.bundle().map(|bundle| bundle.secrets.len()), Some(2));
    }
}
