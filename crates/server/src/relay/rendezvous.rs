//! Rendezvous slots: where a device that joins meets one that belongs. In memory only, few, and
//! good for one meeting.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use graceful_protocol::{Code, Refusal, RendezvousId};
use graceful_rules::AccountNumber;

use super::RateLimits;

/// When a device that found no free slot should try again.
const SLOTS_RETRY_MS: u64 = 60_000;

/// A device came, with this for the owner.
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
    /// Who came, waiting for the reply. The slot is used up from then on.
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

    /// Opens a slot. A session has one at a time: a new one takes the place of the old.
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
                "this rendezvous id is taken; make another",
            ));
        }
        let own = slots
            .values()
            .filter(|slot| slot.account == account)
            .count();
        if slots.len() >= self.slots_max || own >= self.account_slots_max {
            let text = "too many pairings are under way on this relay, or in this account";
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

    /// Comes to a slot. The reply follows, or an error if the owner leaves; `None` if there is no
    /// such slot, or no longer.
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

    /// The owner's answer to who came. Returns whether anybody waits for it.
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

    /// A session ended, and its slot with it.
    pub(super) fn leave(&self, session_id: u64) {
        self.lock().retain(|_, slot| slot.session_id != session_id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RendezvousId, Slot>> {
        self.slots.lock()
    }
}
