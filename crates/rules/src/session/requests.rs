//! Requests of an authenticated device.

use bytes::Bytes;

use graceful_protocol::frame::{DeviceFrame, RelayFrame};
use graceful_protocol::wire::{self, DeleteAccount, OpenRendezvous, Push, RendezvousReply, Stored};
use graceful_protocol::{Code, Refusal, RendezvousId};

use super::super::command::{Command, DeletionRequest, Member, Outcome, Pushed};
use super::{Output, PendingReply, Phase, Session};

impl Session {
    pub(super) fn serve(&mut self, frame: DeviceFrame) {
        let Some(by) = self.member() else {
            return;
        };
        let served = match frame {
            DeviceFrame::Push(push) => self.push(by, push),
            DeviceFrame::Ack(ack) => {
                self.commit(
                    Command::Ack {
                        by,
                        through: ack.through,
                    },
                    PendingReply::Ack {
                        through: ack.through,
                    },
                );
                Ok(())
            }
            DeviceFrame::AppendMembership(append) => {
                let first = append.first;
                self.commit(
                    Command::AppendMembership {
                        by,
                        first,
                        entries: append.entries,
                    },
                    PendingReply::AppendMembership { first },
                );
                Ok(())
            }
            DeviceFrame::DeleteThrough(delete) => {
                self.commit(
                    Command::DeleteThrough {
                        by,
                        through: delete.through,
                    },
                    PendingReply::DeleteThrough,
                );
                Ok(())
            }
            DeviceFrame::DeleteAccount(close) => self.delete_account(by, &close),
            DeviceFrame::OpenRendezvous(open) => self.open_rendezvous(&open),
            DeviceFrame::RendezvousReply(reply) => self.reply(reply),
            DeviceFrame::Ping(_)
            | DeviceFrame::Authenticate(_)
            | DeviceFrame::CreateAccount(_)
            | DeviceFrame::RecoverAccount(_)
            | DeviceFrame::JoinRendezvous(_) => Err(Refusal::new(
                Code::UnexpectedFrame,
                "the session is already authenticated",
            )),
        };
        if let Err(refusal) = served {
            self.refuse(refusal);
        }
    }

    fn push(&mut self, by: Member, push: Push) -> Result<(), Refusal> {
        if push.envelopes.is_empty() {
            return Err(Refusal::new(Code::Malformed, "push without envelopes"));
        }
        self.commit(Command::push(by, push.envelopes), PendingReply::Push);
        Ok(())
    }

    fn delete_account(&mut self, by: Member, close: &DeleteAccount) -> Result<(), Refusal> {
        let Phase::Authenticated(delivery) = &self.phase else {
            return Ok(());
        };
        if *close.account != *delivery.account_id().as_bytes() {
            return Err(Refusal::new(
                Code::UnexpectedFrame,
                "DeleteAccount must name this account",
            ));
        }
        self.commit(
            Command::DeleteAccount {
                by: DeletionRequest::Device(by),
            },
            PendingReply::DeleteAccount,
        );
        Ok(())
    }

    fn open_rendezvous(&mut self, open: &OpenRendezvous) -> Result<(), Refusal> {
        let id = self.check_rendezvous(&open.id, &[])?;
        let lifetime_s = open
            .lifetime_s
            .clamp(1, self.config.limits.rendezvous_s_max);
        self.outputs
            .push_back(Output::OpenRendezvous { id, lifetime_s });
        Ok(())
    }

    fn reply(&mut self, reply: RendezvousReply) -> Result<(), Refusal> {
        let id = self.check_rendezvous(&reply.id, &reply.sealed)?;
        self.outputs.push_back(Output::ReplyRendezvous {
            id,
            sealed: reply.sealed,
        });
        Ok(())
    }

    pub(super) fn reply_to(&mut self, pending: PendingReply, outcome: Outcome) {
        match (pending, outcome) {
            (_, Outcome::Refused(refusal)) => self.refuse_known(refusal),
            (_, Outcome::Pushed(pushed)) => self.on_pushed(pushed),
            (PendingReply::Ack { through }, _) => self.acked(through),
            (PendingReply::AppendMembership { first }, _) => self.on_membership_appended(first),
            (_, Outcome::Deleted { through, envelopes }) => {
                self.send(RelayFrame::Deleted(wire::Deleted {
                    through,
                    envelopes,
                    account: false,
                }));
            }
            (_, Outcome::AccountDeleted { envelopes }) => {
                self.send(RelayFrame::Deleted(wire::Deleted {
                    through: 0,
                    envelopes,
                    account: true,
                }));
                self.close("account deleted");
            }
            (PendingReply::Sweep, _) => self.on_swept(),
            _ => {}
        }
    }

    /// A device that is no longer a member learns the reason by fetching.
    fn refuse_known(&mut self, refusal: Refusal) {
        if refusal.code == Code::NotAMember {
            self.refetch();
        } else {
            self.refuse(refusal);
        }
    }

    fn on_pushed(&mut self, pushed: Pushed) {
        if let Some(push_number) = pushed.through {
            if let Phase::Authenticated(delivery) = &mut self.phase {
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

    /// Handles the result of opening a rendezvous.
    pub fn on_rendezvous_opened(&mut self, id: RendezvousId, opened: Result<(), Refusal>) {
        match opened {
            Ok(()) => self.send(RelayFrame::RendezvousOpened(wire::RendezvousOpened {
                id: id.to_wire(),
            })),
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// Handles a reply whose joining device is gone. The session continues.
    pub fn on_rendezvous_reply_lost(&mut self) {
        let text = "the joining device is gone; remove it and pair again";
        self.send(RelayFrame::Refusal(
            Refusal::new(Code::RendezvousNotFound, text).into(),
        ));
    }

    /// Handles a message of a joining device.
    pub fn on_rendezvous_message(&mut self, id: RendezvousId, sealed: Bytes) {
        self.send(RelayFrame::RendezvousMessage(wire::RendezvousMessage {
            id: id.to_wire(),
            sealed,
        }));
    }
}
