//! Rendezvous slots for pairing. In memory only, few, and used once.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use graceful_protocol::{Code, Refusal, RendezvousId};
use graceful_rules::AccountNumber;

use super::RateLimits;

/// When to retry without a free slot, in milliseconds.
const SLOTS_RETRY_MS: u64 = 60_000;

/// A join request for the owner of a slot.
#[derive(Debug)]
pub(super) struct JoinRequest {
    pub(super) id: RendezvousId,
    pub(super) sealed: Bytes,
}

struct Slot {
    session_id: u64,
    account: AccountNumber,
    owner: mpsc::Sender<JoinRequest>,
    expires: Instant,
    /// The reply channel of the joining device. The slot is used from then on.
    joining: Option<oneshot::Sender<Bytes>>,
}

/// All slots.
pub(super) struct Rendezvous {
    slots_max: usize,
    account_slots_max: usize,
    slots: Mutex<HashMap<RendezvousId, Slot>>,
}

impl Rendezvous {
    pub(super) fn new(rate_limits: &RateLimits) -> Self {
        Self {
            slots_max: rate_limits.rendezvous_slots_max,
            account_slots_max: rate_limits.account_rendezvous_slots_max,
            slots: Mutex::default(),
        }
    }

    /// Opens a slot. A session has at most one: a new slot replaces the old one.
    pub(super) fn open(
        &self,
        id: RendezvousId,
        (session_id, account): (u64, AccountNumber),
        owner: mpsc::Sender<JoinRequest>,
        lifetime: Duration,
    ) -> Result<(), Refusal> {
        let now = Instant::now();
        let mut slots = self.lock();
        slots.retain(|_, slot| slot.expires > now && slot.session_id != session_id);
        if slots.contains_key(&id) {
            return Err(Refusal::new(
                Code::RendezvousInUse,
                "this rendezvous id is in use; generate another",
            ));
        }
        let own = slots
            .values()
            .filter(|slot| slot.account == account)
            .count();
        if slots.len() >= self.slots_max || own >= self.account_slots_max {
            let text =
                "too many pairings in progress on this relay or in this account; retry later";
            return Err(Refusal::new(Code::RendezvousInUse, text).retry_after_ms(SLOTS_RETRY_MS));
        }
        slots.insert(
            id,
            Slot {
                session_id,
                account,
                owner,
                expires: now + lifetime,
                joining: None,
            },
        );
        Ok(())
    }

    /// Joins a slot. The receiver gets the reply, or an error if the owner leaves; `None` if the
    /// slot does not exist or has expired.
    pub(super) fn join(&self, id: RendezvousId, sealed: Bytes) -> Option<oneshot::Receiver<Bytes>> {
        let mut slots = self.lock();
        let slot = slots.get_mut(&id)?;
        if slot.joining.is_some() || slot.expires <= Instant::now() {
            return None;
        }
        slot.owner.try_send(JoinRequest { id, sealed }).ok()?;
        let (reply, replied) = oneshot::channel();
        slot.joining = Some(reply);
        Some(replied)
    }

    /// Sends the reply of the owner. Returns whether a device waits for it.
    pub(super) fn reply(&self, id: RendezvousId, session_id: u64, sealed: Bytes) -> bool {
        let mut slots = self.lock();
        if slots
            .get(&id)
            .is_none_or(|slot| slot.session_id != session_id)
        {
            return false;
        }
        let joining = slots.remove(&id).and_then(|slot| slot.joining);
        joining.is_some_and(|joining| joining.send(sealed).is_ok())
    }

    /// Closes the slots of a session.
    pub(super) fn leave(&self, session_id: u64) {
        self.lock().retain(|_, slot| slot.session_id != session_id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RendezvousId, Slot>> {
        self.slots.lock()
    }
}
