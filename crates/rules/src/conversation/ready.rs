//! What a known device may ask, and how it is answered.

use bytes::Bytes;

use graceful_protocol::frame::{DeviceFrame, RelayFrame};
use graceful_protocol::wire::{self, CloseAccount, OpenRendezvous, Push, RendezvousReply, Stored};
use graceful_protocol::{Code, Refusal, RendezvousId};

use super::super::change::{Change, Outcome, Pushed, Whose};
use super::{Awaited, Conversation, Phase, Request};

impl Conversation {
    pub(super) fn serve(&mut self, frame: DeviceFrame) {
        let Some(by) = self.whose() else {
            return;
        };
        let served = match frame {
            DeviceFrame::Push(push) => self.push(by, push),
            DeviceFrame::Ack(ack) => {
                self.commit(
                    Change::Ack {
                        by,
                        through: ack.through,
                    },
                    Awaited::Ack {
                        through: ack.through,
                    },
                );
                Ok(())
            }
            DeviceFrame::Append(append) => {
                let first = append.first;
                self.commit(
                    Change::Append {
                        by,
                        first,
                        entries: append.entries,
                    },
                    Awaited::Append { first },
                );
                Ok(())
            }
            DeviceFrame::DeleteThrough(delete) => {
                self.commit(
                    Change::DeleteThrough {
                        by,
                        through: delete.through,
                    },
                    Awaited::Delete,
                );
                Ok(())
            }
            DeviceFrame::CloseAccount(close) => self.close_account(by, &close),
            DeviceFrame::OpenRendezvous(open) => self.open_slot(&open),
            DeviceFrame::RendezvousReply(reply) => self.reply(reply),
            DeviceFrame::Ping(_)
            | DeviceFrame::Authenticate(_)
            | DeviceFrame::Found(_)
            | DeviceFrame::Recover(_)
            | DeviceFrame::JoinRendezvous(_) => Err(Refusal::new(
                Code::Unexpected,
                "this conversation is open already",
            )),
        };
        if let Err(refusal) = served {
            self.refuse(refusal);
        }
    }

    fn push(&mut self, by: Whose, push: Push) -> Result<(), Refusal> {
        if push.envelopes.is_empty() {
            return Err(Refusal::new(Code::Malformed, "a push without envelopes"));
        }
        self.commit(Change::push(by, push.envelopes), Awaited::Push);
        Ok(())
    }

    fn close_account(&mut self, by: Whose, close: &CloseAccount) -> Result<(), Refusal> {
        let Phase::Ready(delivery) = &self.phase else {
            return Ok(());
        };
        if *close.account != *delivery.account_id().as_bytes() {
            return Err(Refusal::new(
                Code::Unexpected,
                "closing an account must name it",
            ));
        }
        self.commit(Change::CloseAccount { by }, Awaited::Close);
        Ok(())
    }

    fn open_slot(&mut self, open: &OpenRendezvous) -> Result<(), Refusal> {
        let id = self.check_slot(&open.id, &[])?;
        let lifetime_s = open.lifetime_s.clamp(1, self.terms.limits.rendezvous_s_max);
        self.requests
            .push_back(Request::OpenSlot { id, lifetime_s });
        Ok(())
    }

    fn reply(&mut self, reply: RendezvousReply) -> Result<(), Refusal> {
        let id = self.check_slot(&reply.id, &reply.sealed)?;
        self.requests.push_back(Request::Reply {
            id,
            sealed: reply.sealed,
        });
        Ok(())
    }

    pub(super) fn answer(&mut self, awaited: Awaited, outcome: Outcome) {
        match (awaited, outcome) {
            (_, Outcome::Refused(refusal)) => self.refuse_known(refusal),
            (_, Outcome::Pushed(pushed)) => self.stored(pushed),
            (Awaited::Ack { through }, _) => self.acked(through),
            (Awaited::Append { first }, _) => self.appended(first),
            (_, Outcome::Deleted { through, envelopes }) => {
                self.send(RelayFrame::Deleted(wire::Deleted {
                    through,
                    envelopes,
                    account: false,
                }));
            }
            (_, Outcome::Closed { envelopes }) => {
                self.send(RelayFrame::Deleted(wire::Deleted {
                    through: 0,
                    envelopes,
                    account: true,
                }));
                self.close("the account is closed");
            }
            (Awaited::Sweep, _) => self.swept(),
            _ => {}
        }
    }

    /// A known device that is none any more learns why by looking.
    fn refuse_known(&mut self, refusal: Refusal) {
        if refusal.code == Code::NotAMember {
            self.look_again();
        } else {
            self.refuse(refusal);
        }
    }

    fn stored(&mut self, pushed: Pushed) {
        if let Some(push_number) = pushed.through {
            if let Phase::Ready(delivery) = &mut self.phase {
                delivery.skip_own(&pushed.placements);
            }
            self.send(RelayFrame::Stored(Stored {
                push_number,
                placements: pushed.placements,
            }));
        }
        if let Some(refusal) = pushed.refusal {
            self.refuse_known(refusal);
        }
    }

    /// The slot is open, or why not.
    pub fn slot_opened(&mut self, id: RendezvousId, opened: Result<(), Refusal>) {
        match opened {
            Ok(()) => self.send(RelayFrame::RendezvousOpened(wire::RendezvousOpened {
                id: id.to_wire(),
            })),
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// Nobody waits any more for what this device replied. The conversation goes on.
    pub fn reply_lost(&mut self) {
        let text = "the device that wanted to join is gone; remove it, and pair again";
        self.send(RelayFrame::Refusal(
            Refusal::new(Code::NoRendezvous, text).into(),
        ));
    }

    /// A device came to this one's slot.
    pub fn met(&mut self, id: RendezvousId, sealed: Bytes) {
        self.send(RelayFrame::RendezvousMessage(wire::RendezvousMessage {
            id: id.to_wire(),
            sealed,
        }));
    }
}
