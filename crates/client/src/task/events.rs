//! Engine events and the calls waiting for them.

use super::{ConnectError, Task};
use crate::error::ClientError;
use graceful_engine::engine::{Event, State};

impl Task {
    pub(super) fn event(&mut self, event: Event) {
        // A reply sent below may be followed by a read of the devices at once.
        if matches!(event, Event::Added(_) | Event::Removed(_)) {
            self.publish();
        }
        match &event {
            Event::State(state) => self.state_changed(state.clone()),
            Event::Disconnected { code, message } => {
                self.refusal = Some(ConnectError {
                    message: message.clone(),
                    refusal: Some(*code),
                });
            }
            Event::Added(device) => self.added(*device),
            Event::Removed(device) => self.resolve(*device, |_| Ok(())),
            Event::MembershipRefused { device, message } => {
                let code = graceful_protocol::Code::InvalidMembership;
                self.resolve(*device, |_| {
                    Err(ClientError::Refused {
                        code,
                        message: message.clone(),
                    })
                });
            }
            Event::RendezvousOpened { id } => {
                for slot in self
                    .slots
                    .iter_mut()
                    .filter(|slot| *slot.link.id.as_bytes() == **id)
                {
                    if let Some(opened) = slot.opened.take() {
                        let _ = opened.send(Ok(()));
                    }
                }
            }
            Event::RendezvousRefused { code, message } => {
                for slot in self.slots.drain(..) {
                    if let Some(opened) = slot.opened {
                        let _ = opened.send(Err(ClientError::Refused {
                            code: *code,
                            message: message.clone(),
                        }));
                    }
                }
            }
            Event::RendezvousMessage { id, sealed } => {
                if let Some(at) = self
                    .slots
                    .iter()
                    .position(|slot| *slot.link.id.as_bytes() == **id)
                {
                    let slot = self.slots.swap_remove(at);
                    let _ = slot.requests.try_send(sealed.clone());
                }
            }
            Event::Deleted { envelopes, .. } => {
                if let Some(reply) = self.deletes.pop_front() {
                    let _ = reply.send(Ok(*envelopes));
                }
            }
            _ => {}
        }
        // No subscriber is not an error.
        let _ = self.events.send(event);
    }

    fn state_changed(&mut self, state: State) {
        let was_live = matches!(self.state, State::Syncing { .. } | State::UpToDate);
        let is_live = matches!(state, State::Syncing { .. } | State::UpToDate);
        self.state = state;
        if is_live && !was_live {
            self.last_error = None;
            self.reopen_slots();
        }
        if let State::Refused { code, message } = &self.state {
            let refused = || ClientError::Refused {
                code: *code,
                message: message.clone(),
            };
            for waiter in self.waiters.drain(..) {
                let _ = waiter.reply.send(Err(refused()));
            }
            for reply in self.deletes.drain(..) {
                let _ = reply.send(Err(refused()));
            }
            for opened in self.slots.drain(..).filter_map(|slot| slot.opened) {
                let _ = opened.send(Err(refused()));
            }
        }
    }
}
