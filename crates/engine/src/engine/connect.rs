//! Connecting: dial to welcome, and connection-level refusals.

use super::{Engine, Event, Phase, RelayMisbehavior};
use crate::inbox::ChainCheck;
use crate::outbox::PushReconciliation;
use crate::record::{EpochStart, Record};
use graceful_protocol::challenge::{Challenge, NONCE_BYTES};
use graceful_protocol::frame::DeviceFrame;
use graceful_protocol::wire::{self, Authenticate, CreateAccount};
use graceful_protocol::{Code, Limits, Refusal, StoreEpoch, VERSION, close_code};

/// Delay after an error that only the relay's operator can fix.
const OPERATOR_WAIT_MS: u64 = 5 * 60 * 1_000;
/// Longest delay that a relay can impose.
pub(super) const RETRY_AFTER_MS_MAX: u64 = 60 * 60 * 1_000;
/// Bounds on the limits in a greeting.
const MESSAGE_BYTES_MAX: u64 = 16 * 1024 * 1024;
const PUSH_ENVELOPES_MAX: u32 = 10_000;
const IN_FLIGHT_FRAMES_MAX: u32 = 64;
const WINDOW_BYTES_MAX: u64 = 64 * 1024 * 1024;
const PING_INTERVAL_S_MAX: u32 = 60 * 60;
const RENDEZVOUS_BYTES_MAX: u32 = 16 * 1024 * 1024;
/// No device pushes and no account holds this many envelopes. A larger number is a protocol
/// violation.
const NUMBER_MAX: u64 = 1 << 62;
/// Disconnect if the relay sends nothing for this long after dialling.
const GREETING_WAIT_MS: u64 = 15_000;

impl Engine {
    /// Handles an established connection. `host` is the dialled host: lower case, no port, no
    /// brackets.
    pub fn handle_connected(&mut self, host: &str, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        self.host = host.to_ascii_lowercase();
        self.phase = Phase::Connected;
        self.retry_after_ms = 0;
        self.pong_due_ms = Some(self.now_ms + GREETING_WAIT_MS);
        self.report();
    }

    /// Handles a closed or failed connection. Dials again after a backoff, unless refused for good.
    pub fn handle_disconnected(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        self.phase = Phase::Offline;
        self.pong_due_ms = None;
        self.ack_due_ms = None;
        self.push_hold_ms = None;
        self.append_sent = false;
        self.delete_sent = false;
        self.dial_at_ms = if self.ended.is_some() {
            None
        } else if self.needs_membership_resync() {
            Some(self.now_ms)
        } else {
            let retry_after_ms = std::mem::take(&mut self.retry_after_ms);
            Some(self.now_ms + self.backoff.failed(retry_after_ms, &mut *self.rng))
        };
        self.report();
    }

    pub(super) fn handle_greeting(&mut self, greeting: &wire::Greeting) {
        let epoch = StoreEpoch::try_from(&*greeting.epoch);
        let (Ok(epoch), NONCE_BYTES, Some(limits)) =
            (epoch, greeting.nonce.len(), &greeting.limits)
        else {
            return self.report_violation("malformed greeting");
        };
        self.set_limits(limits);
        self.relay_epoch = Some(epoch);
        let authenticate = self.authenticate(&greeting.nonce, epoch);
        let frame = if self.state.welcomed || self.state.account.membership().count() > 1 {
            DeviceFrame::Authenticate(authenticate)
        } else {
            let entry = self.state.account.entries().first().cloned();
            DeviceFrame::CreateAccount(CreateAccount {
                authenticate: Some(authenticate),
                entry,
                invite: self.invite.clone(),
            })
        };
        self.phase = Phase::Authenticating;
        self.pong_due_ms = Some(self.now_ms + GREETING_WAIT_MS);
        self.send(frame);
    }

    /// These limits bound memory use here, so a relay cannot set them alone.
    fn set_limits(&mut self, limits: &wire::Limits) {
        self.limits = bounded(Limits::from(limits));
        let bytes_max = self.limits.envelope_bytes_max;
        if self.state.envelope_bytes_max != Some(bytes_max) {
            self.state.envelope_bytes_max = Some(bytes_max);
            self.persist(Record::EnvelopeBytesMax(bytes_max));
        }
    }

    fn authenticate(&mut self, nonce: &[u8], epoch: StoreEpoch) -> Authenticate {
        let keys = self.state.account.keys();
        let (account, device) = (self.state.account.account(), keys.device());
        let challenge = Challenge {
            nonce,
            epoch,
            host: &self.host,
            account,
            device,
        };
        let signature = challenge.sign(keys.signing());
        let membership_resync = self.membership_resync && !self.membership_resynced;
        self.membership_resynced |= membership_resync;
        let entries = if membership_resync {
            self.state.account.entries().to_vec()
        } else {
            Vec::new()
        };
        Authenticate {
            version: VERSION,
            account: account.to_wire(),
            device: device.to_wire(),
            host: self.host.clone(),
            signature: signature.to_vec().into(),
            membership_count: self.state.account.membership().count(),
            entries,
        }
    }

    pub(super) fn handle_welcome(&mut self, welcome: &wire::Welcome) {
        if welcome.push_number > NUMBER_MAX
            || welcome.head > NUMBER_MAX
            || welcome.cursor > welcome.head
        {
            return self.report_violation("malformed welcome");
        }
        self.phase = Phase::Live;
        self.pong_due_ms = None;
        self.backoff.succeeded();
        self.caught_up = false;
        self.head = welcome.head;
        self.acked = welcome.cursor;
        self.through = welcome.cursor;
        if !self.state.welcomed {
            self.state.welcomed = true;
            self.persist(Record::Welcomed(true));
        }
        self.entries_due = welcome.membership_count;
        self.check_membership_rollback(welcome.membership_count);
        self.reconcile_inbox(welcome);
        self.state
            .inbox
            .record_own(welcome.push_number, welcome.head);
        self.reconcile_outbox(welcome.push_number);
        self.reconcile_membership(welcome.membership_count);
        (self.membership_resync, self.membership_resynced) = (false, false);
    }

    /// Every entry of this log was on the relay's disk. Only a restore can remove one.
    fn check_membership_rollback(&mut self, relay_count: u64) {
        let same_epoch =
            self.relay_epoch.is_some() && self.state.inbox.store_epoch() == self.relay_epoch;
        let known = self.state.account.membership().count();
        if same_epoch && (relay_count < known || self.membership_resynced) {
            self.report_misbehavior(RelayMisbehavior::MembershipRolledBack {
                from: known,
                to: relay_count.min(known - 1),
            });
        }
    }

    fn reconcile_inbox(&mut self, welcome: &wire::Welcome) {
        let Some(epoch) = self.relay_epoch else {
            return;
        };
        let before = self.state.inbox.store_epoch();
        if before != Some(epoch) {
            if before.is_some() {
                self.report_relay_restored();
            }
            self.start_epoch(epoch, welcome.cursor);
            return;
        }
        let (reached, stored) = (
            self.state.inbox.received_through(),
            self.state.outbox.confirmed_through(),
        );
        if reached > welcome.head {
            self.report_misbehavior(RelayMisbehavior::RolledBack {
                from: reached,
                to: welcome.head,
            });
            self.start_epoch(epoch, welcome.cursor);
        } else if self.state.inbox.compare(welcome.head, &welcome.chain) == ChainCheck::Mismatch {
            self.report_misbehavior(RelayMisbehavior::ChainMismatch(welcome.head));
            self.start_epoch(epoch, welcome.cursor);
        } else if stored > welcome.push_number {
            self.report_misbehavior(RelayMisbehavior::StoredPushesLost {
                from: welcome.push_number + 1,
                through: stored,
            });
            self.start_epoch(epoch, welcome.cursor);
        } else if self
            .state
            .inbox
            .unaccounted_for(welcome.cursor, welcome.push_number)
            > 0
        {
            // Another copy of this profile acknowledged them: they will not be delivered again.
            self.deliver_gap(reached + 1, welcome.cursor, wire::gap::Reason::Unspecified);
        } else {
            self.state.inbox.skip_to(welcome.cursor);
        }
    }

    fn start_epoch(&mut self, epoch: StoreEpoch, cursor: u64) {
        self.state.inbox.start_epoch(epoch, cursor, None);
        self.state.outbox.start_epoch();
        let store_epoch = EpochStart {
            store_epoch: epoch.to_wire(),
            cursor,
            ..EpochStart::default()
        };
        self.persist(Record::EpochStarted(store_epoch));
    }

    fn reconcile_outbox(&mut self, relay_number: u64) {
        match self.state.outbox.reconcile(relay_number) {
            PushReconciliation::InSync => {}
            PushReconciliation::Stored(number) => self.record_stored(number),
            PushReconciliation::Resend { from, through } => {
                self.event(Event::PushedAgain { from, through })
            }
            PushReconciliation::Lost { from, through } => {
                let message = format!(
                    "the relay lost the changes {from} to {through}, which this device \
                     no longer has"
                );
                self.alert(message, false);
                self.event(Event::LostPushes { from, through });
            }
            PushReconciliation::Renumber { first } => {
                self.state.outbox.renumber(first);
                self.persist(Record::Renumbered(first));
                self.event(Event::Renumbered { first });
            }
        }
        self.state.outbox.restart(relay_number);
    }

    pub(super) fn handle_refusal(&mut self, refusal: Refusal) {
        if close_code(refusal.code).is_some() {
            return self.handle_connection_refusal(refusal);
        }
        match refusal.code {
            Code::StaleMembership | Code::InvalidMembership | Code::QuotaDevices => {
                self.handle_membership_refusal(&refusal);
            }
            Code::RendezvousInUse => {
                self.event(Event::RendezvousRefused {
                    code: refusal.code,
                    message: refusal.message,
                });
            }
            Code::AckBeyondHead => {
                self.report_violation("relay rejected an ack of delivered envelopes")
            }
            _ if refusal.push_number > 0 => self.handle_push_refusal(refusal),
            _ => self.report_violation("refusal without a request"),
        }
    }

    fn handle_connection_refusal(&mut self, refusal: Refusal) {
        self.retry_after_ms = refusal.retry_after_ms.min(RETRY_AFTER_MS_MAX);
        let (code, message) = (refusal.code, refusal.message.clone());
        self.event(Event::Disconnected { code, message });
        match refusal.code {
            // A reply or join whose slot is gone ends the pairing and this connection.
            Code::RendezvousNotFound => {
                self.event(Event::RendezvousRefused {
                    code: refusal.code,
                    message: refusal.message,
                });
            }
            Code::NotAMember if self.can_resync_membership() => self.membership_resync = true,
            Code::WrongHost
            | Code::VersionUnsupported
            | Code::Malformed
            | Code::UnexpectedFrame
            | Code::FrameTooLarge
                if self.state.welcomed =>
            {
                self.retry_after_ms = self.retry_after_ms.max(OPERATOR_WAIT_MS);
            }
            Code::Timeout | Code::Overloaded | Code::Restarting => {}
            code => self.ended = Some((code, refusal.message)),
        }
        self.close();
    }

    /// A relay restored from an older backup may lack the entry that added this device.
    fn can_resync_membership(&self) -> bool {
        let account = &self.state.account;
        let log = account.membership();
        !self.membership_resynced
            && log.count() > 1
            && log.member(&account.keys().device()).is_some()
    }
}

fn bounded(mut limits: Limits) -> Limits {
    limits.frame_bytes_max = limits.frame_bytes_max.min(MESSAGE_BYTES_MAX);
    limits.envelope_bytes_max = limits.envelope_bytes_max.min(limits.frame_bytes_max);
    limits.push_envelopes_max = limits.push_envelopes_max.min(PUSH_ENVELOPES_MAX);
    limits.in_flight_frames_max = limits.in_flight_frames_max.min(IN_FLIGHT_FRAMES_MAX);
    limits.window_bytes = limits.window_bytes.min(WINDOW_BYTES_MAX);
    limits.ping_interval_s = limits.ping_interval_s.clamp(1, PING_INTERVAL_S_MAX);
    limits.rendezvous_bytes_max = limits.rendezvous_bytes_max.min(RENDEZVOUS_BYTES_MAX);
    limits
}
