//! Pairing on a member device: open slots, requests and answers.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Reply, Task, Waiter, resolve};
use crate::error::ClientError;
use graceful_engine::OsRng;
use graceful_engine::link::PairingLink;
use graceful_engine::pairing::{Joining, seal_bundle};
use graceful_protocol::DeviceKey;

/// A slot behind a shown pairing link.
pub(super) struct Slot {
    pub(super) link: PairingLink,
    pub(super) until: Instant,
    pub(super) requests: mpsc::Sender<Bytes>,
    pub(super) opened: Option<Reply<()>>,
}

impl Task {
    /// Slots end with their owner's connection, so a new connection opens them again.
    pub(super) fn reopen_slots(&mut self) {
        let (now, now_ms) = (Instant::now(), self.now_ms());
        self.slots
            .retain(|slot| slot.until > now && !slot.requests.is_closed());
        for slot in &self.slots {
            let left_s = slot.until.duration_since(now).as_secs().max(1);
            self.engine.open_rendezvous(
                slot.link.id,
                u32::try_from(left_s).unwrap_or(u32::MAX),
                now_ms,
            );
        }
    }

    pub(super) fn added(&mut self, device: DeviceKey) {
        let now_ms = self.now_ms();
        let bundle = self.engine.bundle();
        let engine = &mut self.engine;
        let answer = |waiter: &Waiter| {
            let Some((link, joining)) = &waiter.pairing else {
                return Ok(());
            };
            let account = bundle.as_ref().ok_or(ClientError::Invalid(
                "this device lacks an epoch secret of the account; pair from another device",
            ))?;
            let sealed = seal_bundle(link, joining, account, &mut OsRng)?;
            if sealed.len() as u64 > u64::from(engine.limits().rendezvous_bytes_max) {
                return Err(ClientError::Invalid(
                    "membership log exceeds the relay's rendezvous limit",
                ));
            }
            engine.reply_rendezvous(link.id, sealed, now_ms);
            Ok(())
        };
        resolve(&mut self.waiters, device, answer);
    }

    pub(super) fn open_slot(
        &mut self,
        link: PairingLink,
        lifetime: Duration,
        requests: mpsc::Sender<Bytes>,
        reply: Reply<()>,
    ) {
        if !self.engine.is_live() {
            return drop(reply.send(Err(ClientError::Offline)));
        }
        let lifetime_s = u32::try_from(lifetime.as_secs().max(1)).unwrap_or(u32::MAX);
        self.engine
            .open_rendezvous(link.id, lifetime_s, self.now_ms());
        let until = Instant::now() + lifetime;
        self.slots.push(Slot {
            link,
            until,
            requests,
            opened: Some(reply),
        });
    }

    pub(super) fn accept(&mut self, link: PairingLink, joining: Joining, reply: Reply<()>) {
        if !self.engine.is_live() {
            return drop(reply.send(Err(ClientError::Offline)));
        }
        match self.engine.add_device(joining.clone(), self.now_ms()) {
            Ok(()) => {
                let device = joining.device;
                self.waiters.push(Waiter {
                    device,
                    pairing: Some((link, joining)),
                    reply,
                });
            }
            Err(error) => drop(reply.send(Err(error.into()))),
        }
    }
}
