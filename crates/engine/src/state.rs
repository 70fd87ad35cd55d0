//! The state of a device, rebuilt from its identity and journal records.

use graceful_protocol::membership::InvalidEntry;
use graceful_protocol::wire::SignedEntry;
use graceful_protocol::{Chain, DeviceKey, StoreEpoch};

use crate::account::{AccountView, genesis_entry};
use crate::alerts::Alerts;
use crate::inbox::{Inbox, Position};
use crate::keys::{DeviceKeys, EpochSecret};
use crate::mnemonic::RecoveryKey;
use crate::outbox::Outbox;
use crate::pairing::Account;
use crate::reassembly::Reassembler;
use crate::record::{
    Applied, Batch, Chunk, ChunkRecord, ChunkStep, Entries, EpochStart, Named, Numbering, Record,
    Sender, SenderKeyEpoch, Senders,
};
use crate::rng::CryptoRng;

/// The identity, fixed when the device created or joined its account.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The device's keys.
    pub keys: DeviceKeys,
    /// The app's identifier of this device; encrypted.
    pub device_id: String,
    /// The account at that time.
    pub account: Account,
}

impl Identity {
    /// Creates an account with one device and no recovery key.
    pub fn create(device_id: &str, device_name: &str, rng: &mut dyn CryptoRng) -> Self {
        Self::create_with_recovery(device_id, device_name, None, rng)
    }

    /// Creates an account with one device and an optional recovery key.
    pub fn create_with_recovery(
        device_id: &str,
        device_name: &str,
        recovery: Option<&RecoveryKey>,
        rng: &mut dyn CryptoRng,
    ) -> Self {
        let (keys, secret) = (DeviceKeys::random(rng), EpochSecret::random(rng));
        let account = Account {
            entries: vec![genesis_entry(&keys, &secret, recovery, rng)],
            secrets: vec![secret],
            names: vec![(keys.device(), device_name.to_owned())],
        };
        Self {
            keys,
            device_id: device_id.to_owned(),
            account,
        }
    }
}

/// A record that contradicts earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRecord {
    /// A repeated push number.
    #[error("push number {0} was recorded twice")]
    Number(u64),
    /// Bytes of the wrong length.
    #[error("recorded {0} has the wrong length")]
    Length(&'static str),
    /// A chunk that does not follow.
    #[error("recorded chunk does not follow the one before")]
    Part,
    /// An invalid membership entry.
    #[error("recorded membership entry is invalid: {0}")]
    Entry(#[from] InvalidEntry),
}

/// The initial state of an engine.
#[derive(Debug, Clone)]
pub struct EngineState {
    pub(crate) device_id: String,
    pub(crate) welcomed: bool,
    /// The relay's last known envelope limit.
    pub(crate) envelope_bytes_max: Option<u64>,
    pub(crate) account: AccountView,
    pub(crate) outbox: Outbox,
    pub(crate) inbox: Inbox,
    pub(crate) alerts: Alerts,
    /// Senders with a gap in the journal, to be recorded by the engine.
    pub(crate) sender_gaps: Vec<Sender>,
    pub(crate) reassembler: Reassembler,
}

impl EngineState {
    /// Creates the state before any record.
    ///
    /// # Errors
    /// [`InvalidEntry`] if the identity's log is invalid.
    pub fn new(identity: &Identity) -> Result<Self, InvalidEntry> {
        let Account {
            entries,
            secrets,
            names,
        } = &identity.account;
        Ok(Self {
            device_id: identity.device_id.clone(),
            welcomed: false,
            envelope_bytes_max: None,
            account: AccountView::new(identity.keys.clone(), entries, secrets, names)?,
            outbox: Outbox::default(),
            inbox: Inbox::default(),
            alerts: Alerts::default(),
            sender_gaps: Vec::new(),
            reassembler: Reassembler::default(),
        })
    }

    /// Applies the next record.
    ///
    /// # Errors
    /// [`InvalidRecord`]
    pub fn apply(&mut self, record: Record) -> Result<(), InvalidRecord> {
        match record {
            Record::Queued(batch) => {
                for change in batch.changes {
                    let number = change.push_number;
                    if !self.outbox.add(change) {
                        return Err(InvalidRecord::Number(number));
                    }
                }
            }
            Record::Stored(number) => {
                self.outbox.mark_stored(number);
            }
            Record::Renumbered(first) => self.outbox.renumber(first),
            Record::Numbering(numbering) => self.outbox.set_numbering(&numbering),
            Record::Sending(number) => self.outbox.restore_sending(number),
            Record::Cursor(cursor) => self.inbox.restore_cursor(&cursor),
            Record::Applied(applied) => self.apply_applied(&applied)?,
            Record::EpochStarted(store_epoch) => self.apply_epoch_start(&store_epoch)?,
            Record::Sender(sender) => {
                self.inbox
                    .record_sender(device_key(&sender.device)?, sender.push_number);
            }
            Record::SenderKeyEpoch(SenderKeyEpoch {
                device,
                push_number,
                key_epoch,
            }) => {
                self.inbox.sender_states_mut().record_key_epoch(
                    device_key(&device)?,
                    push_number,
                    key_epoch,
                );
            }
            Record::SenderGaps(Senders { senders }) => {
                for sender in senders {
                    let device = device_key(&sender.device)?;
                    self.inbox
                        .sender_states_mut()
                        .mark_gap(device, sender.push_number);
                }
            }
            Record::Alert(alert) => self.alerts.add(alert),
            Record::Dismissed(_) => self.alerts.clear(),
            Record::Membership(Entries { entries }) => self.apply_entries(&entries)?,
            Record::Named(Named { device, name }) => {
                self.account.rename(device_key(&device)?, &name);
            }
            Record::EnvelopeBytesMax(bytes) => self.envelope_bytes_max = Some(bytes),
            Record::Welcomed(welcomed) => self.welcomed = welcomed,
            Record::Chunk(ChunkStep { step }) => {
                self.apply_chunk(step.ok_or(InvalidRecord::Part)?)?
            }
        }
        Ok(())
    }

    fn apply_applied(&mut self, applied: &Applied) -> Result<(), InvalidRecord> {
        let position = Position {
            store_epoch: store_epoch(&applied.store_epoch)?,
            seq: applied.seq,
            sender: device_key(&applied.sender)?,
            push_number: applied.push_number,
        };
        self.inbox.restore(&position, chain(&applied.chain)?);
        self.reassembler
            .applied(&position.sender, position.push_number);
        Ok(())
    }

    fn apply_chunk(&mut self, step: ChunkRecord) -> Result<(), InvalidRecord> {
        match step {
            ChunkRecord::Received(Chunk {
                sender,
                push_number,
                seq,
                part,
                content,
            }) => {
                let part = part.ok_or(InvalidRecord::Part)?;
                // The store epoch of a chunk no longer matters.
                let store_epoch = StoreEpoch::new([0; 16]);
                let position = Position {
                    store_epoch,
                    seq,
                    sender: device_key(&sender)?,
                    push_number,
                };
                let fits = self.reassembler.restore(&position, &part, content);
                if fits {
                    Ok(())
                } else {
                    Err(InvalidRecord::Part)
                }
            }
            ChunkRecord::Unfinished(unfinished) => {
                let sender = device_key(&unfinished.sender)?;
                self.reassembler.restore_unfinished(sender, &unfinished);
                Ok(())
            }
        }
    }

    fn apply_epoch_start(&mut self, start: &EpochStart) -> Result<(), InvalidRecord> {
        let chain = chain(&start.chain)?;
        self.inbox
            .start_epoch(store_epoch(&start.store_epoch)?, start.cursor, chain);
        self.outbox.start_epoch();
        Ok(())
    }

    /// Entries that the identity already holds are skipped.
    fn apply_entries(&mut self, entries: &[SignedEntry]) -> Result<(), InvalidRecord> {
        for entry in entries {
            if !self.account.entries().contains(entry) {
                self.account.append(entry)?;
            }
        }
        Ok(())
    }

    /// Applies a position recorded by the app, which may be ahead of the journal after a crash.
    /// Earlier unapplied changes count as gaps.
    pub fn applied_by_app(&mut self, position: &Position) {
        if self.inbox.store_epoch() == Some(position.store_epoch)
            && position.seq > self.inbox.cursor()
        {
            self.sender_gaps = self.inbox.mark_gap(None);
        }
        self.inbox.restore(position, None);
        self.reassembler.applied_by_app(position);
    }

    /// Returns the records that rebuild this state, for compaction.
    pub fn records(&self) -> Vec<Record> {
        let mut records = vec![Record::Welcomed(self.welcomed)];
        records.extend(self.envelope_bytes_max.map(Record::EnvelopeBytesMax));
        records.push(Record::Membership(Entries {
            entries: self.account.entries().to_vec(),
        }));
        let names = self.account.names();
        records.extend(names.map(|(device, name)| {
            Record::Named(Named {
                device: device.to_wire(),
                name: name.clone(),
            })
        }));
        if let Some(store_epoch) = self.inbox.store_epoch() {
            let cursor = self.inbox.cursor();
            let chain = self.inbox.latest_chain().filter(|(seq, _)| *seq == cursor);
            records.push(Record::EpochStarted(EpochStart {
                store_epoch: store_epoch.to_wire(),
                cursor,
                chain: chain.map(|(_, chain)| chain.to_wire()).unwrap_or_default(),
            }));
            records.push(Record::Cursor(self.inbox.cursor_record()));
        }
        records.extend(self.inbox.senders().map(Record::Sender));
        records.extend(
            self.inbox
                .sender_states()
                .key_epochs()
                .map(Record::SenderKeyEpoch),
        );
        records.push(Record::SenderGaps(Senders {
            senders: self.inbox.sender_states().gaps(),
        }));
        records.extend(self.alerts.iter().cloned().map(Record::Alert));
        records.extend(
            self.reassembler
                .records()
                .map(|step| Record::Chunk(ChunkStep { step: Some(step) })),
        );
        let (stored, next) = (self.outbox.ever_stored_through(), self.outbox.next_number());
        let (sending, shared) = (self.outbox.sending_through(), self.outbox.shared());
        let confirmed = self.outbox.confirmed_through();
        let numbering = |next, shared| Numbering {
            stored,
            next,
            sending,
            shared,
            confirmed,
        };
        let retained = self
            .outbox
            .changes()
            .next()
            .map_or(next, |change| change.push_number);
        // The first numbering sets `next` to the oldest retained change, so that the changes follow
        // it.
        records.push(Record::Numbering(numbering(retained.min(next), 0)));
        records.extend(self.outbox.changes().cloned().map(|change| {
            Record::Queued(Batch {
                changes: vec![change],
            })
        }));
        records.push(Record::Numbering(numbering(next, shared)));
        records
    }

    /// Returns a copy to work with, and drops the outbox and the unfinished changes from this one.
    pub fn take(&mut self) -> Self {
        let taken = self.clone();
        (self.outbox, self.reassembler) = Default::default();
        taken
    }

    /// The account.
    pub fn account(&self) -> &AccountView {
        &self.account
    }

    /// The outbox.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The inbox.
    pub fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// The alerts that were not dismissed.
    pub fn alerts(&self) -> &Alerts {
        &self.alerts
    }

    /// Whether the relay ever accepted the account.
    pub fn welcomed(&self) -> bool {
        self.welcomed
    }

    /// The app's identifier of this device.
    pub fn device_id(&self) -> &str {
        &self.device_id
    }
}

fn device_key(bytes: &[u8]) -> Result<DeviceKey, InvalidRecord> {
    DeviceKey::try_from(bytes).map_err(|_| InvalidRecord::Length("device key"))
}

fn store_epoch(bytes: &[u8]) -> Result<StoreEpoch, InvalidRecord> {
    StoreEpoch::try_from(bytes).map_err(|_| InvalidRecord::Length("store epoch"))
}

fn chain(bytes: &[u8]) -> Result<Option<Chain>, InvalidRecord> {
    match bytes {
        [] => Ok(None),
        bytes => Chain::try_from(bytes)
            .map(Some)
            .map_err(|_| InvalidRecord::Length("running hash")),
    }
}
