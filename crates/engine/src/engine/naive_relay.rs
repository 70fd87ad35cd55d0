//! A relay for tests. It stores every frame and verifies nothing.

#![allow(clippy::unwrap_used, reason = "a test double")]

use std::collections::BTreeMap;

use bytes::Bytes;
use graceful_protocol::envelope::has_sealed_form;
use graceful_protocol::frame::{DeviceFrame, RelayFrame};
use graceful_protocol::wire::{self, Delivered, Envelope, Placement, SignedEntry};
use graceful_protocol::{Chain, DeviceKey, Limits, chain};

/// Stores everything; the relay's own tests cover verification.
#[derive(Clone, Default)]
pub struct NaiveRelay {
    pub(crate) epoch: u8,
    pub(crate) entries: Vec<SignedEntry>,
    /// All pushed envelopes in order: sender, envelope, running hash.
    pub log: Vec<(DeviceKey, Envelope, Chain)>,
    pub(crate) pushed: BTreeMap<DeviceKey, u64>,
    pub(crate) cursors: BTreeMap<DeviceKey, u64>,
    /// Envelope limit in the greeting; 0 means the default.
    pub(crate) envelope_bytes_max: u64,
    /// Envelopes through this seq have expired.
    pub(crate) expired_through: u64,
    /// Number of repeated envelopes.
    pub(crate) repeats: u64,
}

impl NaiveRelay {
    /// Returns the greeting.
    pub fn greeting(&self) -> RelayFrame {
        let mut limits = Limits {
            push_envelopes_max: 3,
            in_flight_frames_max: 4,
            ..Limits::default()
        };
        if self.envelope_bytes_max > 0 {
            limits.envelope_bytes_max = self.envelope_bytes_max;
        }
        RelayFrame::Greeting(wire::Greeting {
            epoch: Bytes::from(vec![self.epoch; 16]),
            nonce: Bytes::from(vec![9; 32]),
            limits: Some((&limits).into()),
            ..wire::Greeting::default()
        })
    }

    /// Returns the answers to a device's frame.
    pub fn answer(&mut self, device: DeviceKey, frame: DeviceFrame) -> Vec<RelayFrame> {
        match frame {
            DeviceFrame::CreateAccount(found) => {
                self.entries = vec![found.entry.unwrap()];
                self.welcome(device, 1)
            }
            DeviceFrame::Authenticate(proof) => self.welcome(device, proof.membership_count),
            DeviceFrame::Push(push) => vec![self.push(device, push.envelopes)],
            DeviceFrame::Ack(ack) => {
                let cursor = self.cursors.entry(device).or_default();
                *cursor = ack.through.max(*cursor);
                Vec::new()
            }
            DeviceFrame::AppendMembership(append) => {
                self.entries
                    .truncate(usize::try_from(append.first).unwrap());
                self.entries.extend(append.entries.clone());
                vec![RelayFrame::Membership(wire::Membership {
                    first: append.first,
                    entries: append.entries,
                })]
            }
            DeviceFrame::Ping(ping) => vec![RelayFrame::Pong(wire::Pong {
                number: ping.number,
            })],
            _ => Vec::new(),
        }
    }

    pub(crate) fn welcome(&mut self, device: DeviceKey, known: u64) -> Vec<RelayFrame> {
        let known = usize::try_from(known).unwrap().min(self.entries.len());
        let welcome = wire::Welcome {
            head: self.log.len() as u64,
            cursor: self.cursors.get(&device).copied().unwrap_or(0),
            push_number: self.pushed.get(&device).copied().unwrap_or(0),
            membership_count: self.entries.len() as u64,
            chain: self
                .log
                .last()
                .map_or(chain::START, |(.., chain)| *chain)
                .to_wire(),
            ..wire::Welcome::default()
        };
        let entries = self.entries[known..].to_vec();
        let membership = wire::Membership {
            first: known as u64,
            entries,
        };
        vec![
            RelayFrame::Welcome(welcome),
            RelayFrame::Membership(membership),
        ]
    }

    pub(crate) fn push(&mut self, device: DeviceKey, envelopes: Vec<Envelope>) -> RelayFrame {
        let mut placements = Vec::new();
        for envelope in envelopes {
            assert!(has_sealed_form(&envelope.sealed));
            let stored = self.pushed.entry(device).or_default();
            if envelope.push_number > *stored {
                assert_eq!(envelope.push_number, *stored + 1, "numbers are consecutive");
                *stored += 1;
                let seq = self.log.len() as u64 + 1;
                let before = self.log.last().map_or(chain::START, |(.., chain)| *chain);
                let chain = chain::extend(&before, seq, &device, &envelope.sealed);
                placements.push(Placement {
                    push_number: envelope.push_number,
                    seq,
                    count: 1,
                });
                self.log.push((device, envelope, chain));
            } else {
                self.repeats += 1;
            }
        }
        RelayFrame::Stored(wire::Stored {
            push_number: self.pushed[&device],
            placements,
        })
    }

    /// Returns the delivery of everything after `after` to a device.
    pub fn deliver(&self, device: DeviceKey, after: u64) -> RelayFrame {
        let head = self.log.len() as u64;
        let after = after.max(self.expired_through);
        let is_for = |envelope: &Envelope| {
            envelope.recipient.is_empty() || *envelope.recipient == *device.as_bytes()
        };
        let envelopes = (1..).zip(&self.log).filter(|(seq, (sender, envelope, _))| {
            *seq > after && *sender != device && is_for(envelope)
        });
        let envelopes = envelopes.map(|(seq, (sender, envelope, chain))| Delivered {
            seq,
            sender: sender.to_wire(),
            push_number: envelope.push_number,
            sealed: envelope.sealed.clone(),
            chain: chain.to_wire(),
            targeted: !envelope.recipient.is_empty(),
        });
        RelayFrame::Deliver(wire::Deliver {
            envelopes: envelopes.collect(),
            through: head,
            head,
        })
    }
}
