//! Membership changes, rendezvous slots and deletion.

use bytes::Bytes;

use super::{Code, Engine, Event, Intent, MembershipError, RelayMisbehavior};
use crate::account::AccountView;
use crate::pairing::{Account, Joining};
use crate::record::{Entries, Named, Record};
use graceful_protocol::frame::DeviceFrame;
use graceful_protocol::membership::Changed;
use graceful_protocol::wire::{self, SignedEntry};
use graceful_protocol::{DeviceKey, Refusal, RendezvousId};

impl Engine {
    /// Adds a device to the account. [`Event::Added`] follows when the relay has stored the entry.
    ///
    /// # Errors
    /// [`MembershipError`] if the log rejects the entry.
    pub fn add_device(&mut self, joining: Joining, now_ms: u64) -> Result<(), MembershipError> {
        self.state.account.sign_add(&joining)?;
        self.add_intent(Intent::Add(joining), now_ms);
        Ok(())
    }

    /// Removes a device and starts a new key epoch. [`Event::Removed`] follows when the relay has
    /// stored the entry.
    ///
    /// # Errors
    /// [`MembershipError`] if the log rejects the entry.
    pub fn remove_device(&mut self, device: DeviceKey, now_ms: u64) -> Result<(), MembershipError> {
        self.state.account.sign_remove(&device, &mut *self.rng)?;
        self.add_intent(Intent::Remove(device), now_ms);
        Ok(())
    }

    fn add_intent(&mut self, intent: Intent, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        if !self.intents.contains(&intent) {
            self.intents.push_back(intent);
        }
        self.drive();
    }

    /// Returns everything a device needs to join the account, or `None` if a secret is missing
    /// here.
    pub fn bundle(&self) -> Option<Account> {
        self.state.account.bundle()
    }

    /// Opens a rendezvous slot. An event reports the result. Does nothing while offline.
    pub fn open_rendezvous(&mut self, id: RendezvousId, lifetime_s: u32, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        if self.is_live() {
            let lifetime_s = lifetime_s.min(self.limits.rendezvous_s_max);
            self.send(DeviceFrame::OpenRendezvous(wire::OpenRendezvous {
                id: id.to_wire(),
                lifetime_s,
            }));
        }
    }

    /// Sends a reply through a slot. Does nothing while offline.
    pub fn reply_rendezvous(&mut self, id: RendezvousId, sealed: Bytes, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        if self.is_live() {
            self.send(DeviceFrame::RendezvousReply(wire::RendezvousReply {
                id: id.to_wire(),
                sealed,
            }));
        }
    }

    /// Sends all known device names to the other devices.
    pub fn announce_names(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        self.queue_names();
        self.drive();
    }

    /// Deletes the account's envelopes through a seq from the relay. [`Event::Deleted`] follows.
    pub fn delete_through(&mut self, through: u64, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        self.deletes
            .push_back(DeviceFrame::DeleteThrough(wire::DeleteThrough { through }));
        self.drive();
    }

    /// Deletes the account from the relay. [`Event::Deleted`] follows.
    pub fn delete_account(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        let account = self.state.account.account().to_wire();
        self.deletes
            .push_back(DeviceFrame::DeleteAccount(wire::DeleteAccount { account }));
        self.drive();
    }

    /// Sends one deletion at a time, and repeats it after a reconnect: deletion is idempotent.
    pub(super) fn send_deletes(&mut self) {
        if self.delete_sent {
            return;
        }
        if let Some(frame) = self.deletes.front().cloned() {
            self.delete_sent = true;
            self.send(frame);
        }
    }

    pub(super) fn handle_deleted(&mut self, deleted: &wire::Deleted) {
        self.delete_sent = false;
        self.deletes.pop_front();
        let wire::Deleted {
            through,
            envelopes,
            account,
        } = *deleted;
        self.event(Event::Deleted {
            through,
            envelopes,
            account,
        });
        if account {
            self.ended = Some((
                Code::AccountDeleted,
                "this device deleted the account".to_owned(),
            ));
            self.close();
        }
    }

    /// Signs the oldest membership intent on top of the current log, one at a time.
    pub(super) fn send_intent(&mut self) {
        self.drop_fulfilled();
        if self.append_sent {
            return;
        }
        let Some(intent) = self.intents.front().cloned() else {
            return;
        };
        let entry = match &intent {
            Intent::Add(joining) => self.state.account.sign_add(joining),
            Intent::Remove(device) => self.state.account.sign_remove(device, &mut *self.rng),
        };
        match entry {
            Ok(entry) => {
                self.append_sent = true;
                let first = self.state.account.membership().count();
                self.send(DeviceFrame::AppendMembership(wire::AppendMembership {
                    first,
                    entries: vec![entry],
                }));
            }
            Err(error) => {
                self.intents.pop_front();
                self.event(Event::MembershipRefused {
                    device: intent.device(),
                    message: error.to_string(),
                });
            }
        }
    }

    fn drop_fulfilled(&mut self) {
        let log = self.state.account.membership();
        self.intents.retain(|intent| match intent {
            Intent::Add(joining) => log.member(&joining.device).is_none(),
            Intent::Remove(device) => log.member(device).is_some(),
        });
    }

    /// Appends the entries that a restored relay lacks.
    pub(super) fn reconcile_membership(&mut self, relay_count: u64) {
        let entries = self.state.account.entries();
        let lacking = usize::try_from(relay_count)
            .ok()
            .and_then(|count| entries.get(count..));
        if let Some(lacking) = lacking.filter(|lacking| !lacking.is_empty() && relay_count > 0) {
            let frame = wire::AppendMembership {
                first: relay_count,
                entries: lacking.to_vec(),
            };
            self.append_sent = true;
            self.send(DeviceFrame::AppendMembership(frame));
        }
    }

    pub(super) fn handle_membership(&mut self, membership: &wire::Membership) {
        let mut accepted = Vec::new();
        for (step, entry) in (0..).zip(&membership.entries) {
            let index = membership.first.saturating_add(step);
            let count = self.state.account.membership().count();
            if index < count {
                if self.known_differently(index, entry) {
                    self.report_misbehavior(RelayMisbehavior::DivergentMembership(index));
                    return self.close();
                }
                self.append_sent = false;
                continue;
            }
            match self.state.account.append(entry) {
                Ok(changed) => accepted.push((entry.clone(), changed)),
                Err(error) => {
                    self.record_entries(accepted);
                    self.report_misbehavior(RelayMisbehavior::InvalidEntry(error.to_string()));
                    return self.close();
                }
            }
        }
        self.record_entries(accepted);
    }

    fn known_differently(&self, index: u64, entry: &SignedEntry) -> bool {
        let known = usize::try_from(index)
            .ok()
            .and_then(|index| self.state.account.entries().get(index));
        known != Some(entry)
    }

    fn record_entries(&mut self, accepted: Vec<(SignedEntry, Changed)>) {
        if accepted.is_empty() {
            return;
        }
        self.append_sent = false;
        let entries = accepted.iter().map(|(entry, _)| entry.clone()).collect();
        self.persist(Record::Membership(Entries { entries }));
        for (_, changed) in accepted {
            self.changed(&changed);
        }
    }

    fn changed(&mut self, changed: &Changed) {
        match changed {
            Changed::Added(member) => {
                let own = self.intents.iter().find_map(|intent| match intent {
                    Intent::Add(joining) if joining.device == member.device => {
                        Some(joining.name.clone())
                    }
                    _ => None,
                });
                if let Some(name) = own {
                    self.state.account.rename(member.device, &name);
                    self.persist(Record::Named(Named {
                        device: member.device.to_wire(),
                        name,
                    }));
                    self.queue_names();
                }
                self.event(Event::Added(member.device));
            }
            Changed::Removed(member) => {
                self.event(Event::Removed(member.device));
                if member.device == self.state.account.keys().device() {
                    let message = "another device removed this one from the account".to_owned();
                    self.ended = Some((Code::DeviceRemoved, message));
                    self.close();
                }
            }
        }
    }

    pub(super) fn handle_membership_refusal(&mut self, refusal: &Refusal) {
        self.append_sent = false;
        let stale = refusal.code == Code::StaleMembership;
        let count = self.state.account.membership().count();
        if stale && refusal.expected > count {
            // The missing entries are on their way. The intent is signed again on top of them.
            self.append_sent = true;
            return;
        }
        if stale && refusal.expected == count {
            return;
        }
        if let Some(intent) = self.intents.pop_front() {
            self.event(Event::MembershipRefused {
                device: intent.device(),
                message: refusal.message.clone(),
            });
        }
    }

    /// The account as this device sees it.
    pub fn account(&self) -> &AccountView {
        &self.state.account
    }
}

impl Intent {
    fn device(&self) -> DeviceKey {
        match self {
            Self::Add(joining) => joining.device,
            Self::Remove(device) => *device,
        }
    }
}
