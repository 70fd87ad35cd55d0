//! Invariants of every simulated history.

use std::collections::{BTreeMap, BTreeSet};

use graceful_protocol::DeviceKey;
use graceful_rules::DeviceIndex;
use graceful_rules::command::{Command, Outcome};
use graceful_rules::push::IncomingEnvelope;
use graceful_store::Engine as _;

use crate::phone::Phone;
use crate::relay::Relay;
use crate::world::World;

/// The devices that must receive a change: those its sender knew at the push.
#[derive(Debug, Clone)]
struct Owed {
    sender: DeviceKey,
    name: String,
    to: Vec<DeviceKey>,
    for_all: bool,
}

/// What is known to have happened.
#[derive(Debug, Default)]
pub struct History {
    owed: Vec<Owed>,
    /// Which push each seq was given to, as the commits say.
    log: BTreeMap<u64, (DeviceKey, u64)>,
    head: u64,
    /// The last push number of each device.
    push_numbers: BTreeMap<DeviceKey, u64>,
    /// A batch whose commit was cut off: it is on the disk as a whole, or not at all.
    uncertain: Option<Vec<Command>>,
    leaving: BTreeSet<DeviceKey>,
    /// Commits that the power cut off: how many were then on the disk, and how many not.
    pub cut_kept: u64,
    pub cut_lost: u64,
    /// Keys of days that were over.
    pub keys_retired: usize,
    /// Times that the journal was folded in.
    pub folded: usize,
    /// Deaths of a relay whose journal had what redb had not.
    pub replayed: usize,
    /// Whether the quota lets everything in.
    pub unlimited: bool,
    /// The relay's retention of unacknowledged envelopes.
    pub retention_ms: u64,
    owners: BTreeMap<u32, DeviceKey>,
}

impl History {
    pub fn pushed(&mut self, sender: DeviceKey, name: String, to: Vec<DeviceKey>, for_all: bool) {
        self.owed.push(Owed {
            sender,
            name,
            to,
            for_all,
        });
    }

    /// Whether a device was to be removed, so that nothing is certain for it.
    pub fn is_anybody_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// From now on nothing is certain for this device.
    pub fn leaving(&mut self, device: DeviceKey) {
        self.leaving.insert(device);
    }

    pub fn uncertain(&mut self, batch: Vec<Command>) {
        self.uncertain = Some(batch);
    }

    /// The relay has taken this device in under this device_index.
    pub fn serves(&mut self, device_index: DeviceIndex, device: DeviceKey) {
        self.owners.insert(device_index.0, device);
    }

    /// A commit went through.
    pub fn committed(&mut self, batch: &[Command], outcomes: &[Outcome]) {
        for (change, outcome) in batch.iter().zip(outcomes) {
            let (Command::Push { by, .. }, Outcome::Pushed(pushed)) = (change, outcome) else {
                continue;
            };
            let Some(sender) = self.owners.get(&by.device.0).copied() else {
                continue;
            };
            for placement in &pushed.placements {
                for at in 0..u64::from(placement.count) {
                    self.place(placement.seq + at, sender, placement.push_number + at);
                }
            }
        }
    }

    fn place(&mut self, seq: u64, sender: DeviceKey, push_number: u64) {
        let before = self.log.insert(seq, (sender, push_number));
        assert_eq!(before, None, "seq {seq} was given twice");
        assert_eq!(seq, self.head + 1, "seqs follow each other");
        self.head = seq;
        let number = self.push_numbers.entry(sender).or_default();
        assert_eq!(push_number, *number + 1, "push numbers follow each other");
        *number = push_number;
    }

    /// The relay runs again: a batch in doubt is there as a whole, or not at all.
    pub fn reopened(&mut self, relay: &Relay, phones: &[Phone]) {
        let Some(batch) = self.uncertain.take() else {
            return;
        };
        // No account yet, or another power failure before the check.
        let Some(head) = self.store_head(relay, phones) else {
            self.uncertain = Some(batch);
            return;
        };
        if head == self.head {
            self.cut_lost += 1;
            return;
        }
        let Ok(all) = relay.store().visible_metadata() else {
            self.uncertain = Some(batch);
            return;
        };
        let Some(device_states) = device_states(relay, phones) else {
            self.uncertain = Some(batch);
            return;
        };
        self.cut_kept += 1;
        self.check_whole(&batch, head, &device_states);
        for seen in all {
            if seen.seq > self.head {
                self.log.insert(seen.seq, (seen.sender, seen.push_number));
            }
        }
        self.head = head;
        self.push_numbers.extend(device_states);
    }

    /// A batch of which anything is on the disk is there as a whole. Where the rules may have refused
    /// a part of it, that cannot be told from outside.
    fn check_whole(&self, batch: &[Command], head: u64, device_states: &BTreeMap<DeviceKey, u64>) {
        let mut numbers = self.push_numbers.clone();
        let mut expected = self.head;
        for change in batch {
            let (by, envelopes) = match change {
                Command::Push { by, envelopes } => (by, envelopes),
                Command::Ack { .. } | Command::Sweep => continue,
                _ => return,
            };
            let Some(sender) = self.owners.get(&by.device.0) else {
                return;
            };
            // Who is no member now was removed before, for a batch that removes is not judged: its session
            // had not yet heard of that, and what it pushed was refused.
            if !device_states.contains_key(sender) {
                continue;
            }
            let number = numbers.entry(*sender).or_default();
            for IncomingEnvelope { envelope, .. } in envelopes {
                if !envelope.recipient.is_empty() {
                    return;
                }
                if envelope.push_number == *number + 1 {
                    *number += 1;
                    expected += 1;
                }
            }
        }
        if self.unlimited {
            assert_eq!(
                expected, head,
                "a commit that was cut off is there as a whole or not at all"
            );
        }
    }

    fn store_head(&self, relay: &Relay, phones: &[Phone]) -> Option<u64> {
        phones.iter().find_map(|phone| {
            relay
                .store()
                .find(&phone.account, &phone.key)
                .ok()?
                .map(|device_state| device_state.head)
        })
    }

    fn seq_of(&self, sender: DeviceKey, push_number: u64) -> Option<u64> {
        self.log
            .iter()
            .find(|(_, push)| **push == (sender, push_number))
            .map(|(seq, _)| *seq)
    }
}

/// Returns the last push of every member; `None` if the disk failed.
fn device_states(relay: &Relay, phones: &[Phone]) -> Option<BTreeMap<DeviceKey, u64>> {
    let mut device_states = BTreeMap::new();
    for phone in phones {
        if let Some(device_state) = relay.store().find(&phone.account, &phone.key).ok()? {
            device_states.insert(phone.key, device_state.push_number);
        }
    }
    Some(device_states)
}

/// Judges a history that came to rest.
pub fn check(world: &World) -> Result<(), String> {
    let remaining = world.remaining();
    for phone in world
        .phones
        .iter()
        .filter(|phone| remaining.contains(&phone.key))
    {
        in_order_and_once(phone)?;
        nothing_owed(world, phone)?;
        snapshot_covers_past(world, phone)?;
        if let Some(inject_fault) = phone.faults.first() {
            return Err(format!(
                "a device was told of inject_fault that was not there: {inject_fault}"
            ));
        }
    }
    one_epoch_order(world)?;
    nothing_left(world, &remaining)?;
    no_day_key_left(world)
}

/// At rest there is no key but today's and those of envelopes that are kept; and none is in the file
/// that is not on the ring.
fn no_day_key_left(world: &World) -> Result<(), String> {
    let relay = world.relay.as_ref().ok_or("the relay is down")?;
    let kept = relay
        .store()
        .visible_metadata()
        .map_err(|error| error.to_string())?;
    let days = kept
        .iter()
        .map(|seen| seen.arrived.day())
        .collect::<BTreeSet<_>>()
        .len();
    relay
        .retire_day_keys(world.now_ms())
        .map_err(|error| error.to_string())?;
    let keys = relay.store().day_key_count();
    if keys > days + 1 {
        return Err(format!(
            "{keys} keys are left, for envelopes of {days} days"
        ));
    }
    let slots = world.key_file();
    let used = slots
        .chunks(4_096)
        .filter(|slot| slot.iter().any(|byte| *byte != 0))
        .count();
    if used != keys {
        return Err(format!(
            "{used} slots of the key file are not zeros, and {keys} keys are in use"
        ));
    }
    Ok(())
}

fn in_order_and_once(phone: &Phone) -> Result<(), String> {
    let seqs = phone
        .applied
        .iter()
        .map(|(position, _)| position.seq)
        .collect::<Vec<_>>();
    if seqs.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(format!("not in order, or not once: {seqs:?}"));
    }
    Ok(())
}

/// Every device has every change it must receive, or a gap that covers it.
fn nothing_owed(world: &World, phone: &Phone) -> Result<(), String> {
    let mut numbers: BTreeMap<DeviceKey, BTreeMap<&str, u64>> = BTreeMap::new();
    for (position, name) in world.phones.iter().flat_map(|phone| &phone.applied) {
        numbers
            .entry(position.sender)
            .or_default()
            .insert(name, position.push_number);
    }
    let has = phone
        .applied
        .iter()
        .map(|(position, name)| (position.sender, name.as_str()))
        .collect::<BTreeSet<_>>();
    for one_owed in &world.history.owed {
        let certain = !world.history.leaving.contains(&one_owed.sender)
            && !world.history.leaving.contains(&phone.key)
            && one_owed.to.contains(&phone.key);
        if !certain || has.contains(&(one_owed.sender, one_owed.name.as_str())) {
            continue;
        }
        if phone.gaps.is_empty() {
            return Err(format!("{} was lost, and nothing was sent", one_owed.name));
        }
        // Another device may have it: then its seq is known and must be covered by a gap.
        let number = numbers
            .get(&one_owed.sender)
            .and_then(|names| names.get(one_owed.name.as_str()));
        let seq = number.and_then(|number| world.history.seq_of(one_owed.sender, *number));
        let told = |seq: u64| {
            phone
                .gaps
                .iter()
                .any(|(from, through)| (*from..=*through).contains(&seq))
        };
        if seq.is_some_and(|seq| !told(seq)) {
            return Err(format!(
                "{} was lost outside the gaps that were told",
                one_owed.name
            ));
        }
    }
    Ok(())
}

/// Where nothing expired and nobody leaves, every device knows every change for all, whenever it
/// joined: from the relay, or from a snapshot of another.
fn snapshot_covers_past(world: &World, phone: &Phone) -> Result<(), String> {
    // The relay's own time goes on no faster than the world's.
    let nothing_expired = world.now_ms() < world.history.retention_ms;
    if !nothing_expired || world.history.is_anybody_leaving() {
        return Ok(());
    }
    // The first device was there from the beginning: it has seen every part of everything. Only what a
    // crash left open may have been told all the same (docs/adr/0003-history-for-new-devices.md).
    if phone.key == world.phones[0].key && phone.gaps.len() > phone.groundless {
        return Err(format!(
            "a device was told of gaps that are none: {:?}",
            phone.gaps
        ));
    }
    let known = phone.everything();
    match world
        .history
        .owed
        .iter()
        .find(|one_owed| one_owed.for_all && !known.contains(one_owed.name.as_str()))
    {
        Some(one_owed) => Err(format!(
            "{} is neither in a snapshot nor was it delivered",
            one_owed.name
        )),
        None => Ok(()),
    }
}

/// Every device sees the same envelope at a seq.
fn one_epoch_order(world: &World) -> Result<(), String> {
    for (position, name) in world.phones.iter().flat_map(|phone| &phone.applied) {
        match world.history.log.get(&position.seq) {
            Some((sender, number))
                if (*sender, *number) == (position.sender, position.push_number) => {}
            other => {
                return Err(format!(
                    "{name} came as {position:?}, but that place was given to {other:?}"
                ));
            }
        }
    }
    Ok(())
}

/// Nothing acknowledged by all devices is stored. A single device's own changes stay.
fn nothing_left(world: &World, remaining: &[DeviceKey]) -> Result<(), String> {
    let relay = world.relay.as_ref().ok_or("the relay is down")?;
    let left = relay
        .store()
        .totals()
        .map_err(|error| error.to_string())?
        .envelopes;
    if remaining.len() > 1 && left > 0 {
        return Err(format!(
            "{left} envelopes remain that all devices have acknowledged"
        ));
    }
    Ok(())
}
