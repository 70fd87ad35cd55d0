//! Delivery of an account's log to one device, within a window of unacknowledged bytes.
//!
//! Catching up and live delivery use one path: fetch after the last delivered seq, deliver, and
//! fetch again when the account changes or the window has space.

use std::collections::VecDeque;

use graceful_protocol::AccountId;
use graceful_protocol::frame::RelayFrame;
use graceful_protocol::wire::{self, Deliver, Delivered, Placement};

use super::super::command::{AccountPage, AccountVersion, DeviceState, Fetch, Member};
use super::{Output, Phase, Session};

/// Bytes of envelopes in one Deliver frame, unless a single one is larger.
const DELIVER_BYTES: u64 = 256 * 1024;

/// Delivery state of one session.
#[derive(Debug)]
pub(super) struct Delivery {
    member: Member,
    account: AccountId,
    entries_shown: u64,
    shown: u64,
    acked: u64,
    gap_shown: u64,
    /// Whether the last Deliver reported more to come: another follows, even an empty one.
    behind_announced: bool,
    fetching: bool,
    /// Envelopes are pending until the window has space.
    envelopes_due: bool,
    /// Something else is pending (entries, a gap, a deletion) that needs no window space.
    page_due: bool,
    version: AccountVersion,
    /// Delivered and unacknowledged frames: last seq and bytes.
    window: VecDeque<(u64, u64)>,
    window_bytes: u64,
    /// The next envelope did not fit: fetch again only after an ack.
    window_full: bool,
}

impl Delivery {
    pub(super) fn new(device_state: &DeviceState, entries_shown: u64) -> Self {
        Self {
            member: device_state.member,
            account: device_state.account,
            entries_shown,
            shown: device_state.cursor,
            acked: device_state.cursor,
            gap_shown: 0,
            behind_announced: true,
            fetching: false,
            envelopes_due: true,
            page_due: true,
            version: AccountVersion {
                head: device_state.head,
                membership_count: device_state.membership_count,
                revision: 0,
            },
            window: VecDeque::new(),
            window_bytes: 0,
            window_full: false,
        }
    }

    pub(super) fn member(&self) -> Member {
        self.member
    }

    pub(super) fn account_id(&self) -> AccountId {
        self.account
    }

    pub(super) fn is_fetching(&self) -> bool {
        self.fetching
    }

    /// Schedules a fetch for changes that were not delivered yet.
    pub(super) fn on_account_changed(&mut self, version: AccountVersion) {
        let turned = version.revision != self.version.revision;
        self.version = version;
        self.envelopes_due |= version.head > self.shown;
        self.page_due |= turned || version.membership_count > self.entries_shown;
    }

    /// A device that is up to date does not fetch its own pushes.
    pub(super) fn skip_own(&mut self, placements: &[Placement]) {
        for placement in placements {
            if !self.fetching && placement.seq == self.shown + 1 {
                self.shown += u64::from(placement.count);
            }
        }
    }

    fn window_room(&self, window_max: u64) -> u64 {
        if self.window_full {
            0
        } else {
            window_max.saturating_sub(self.window_bytes)
        }
    }

    fn acked(&mut self, through: u64) {
        self.acked = self.acked.max(through);
        self.shown = self.shown.max(through);
        while let Some(&(end, bytes)) = self.window.front()
            && end <= through
        {
            self.window.pop_front();
            self.window_bytes -= bytes;
            self.window_full = false;
        }
    }

    fn take(&mut self, envelopes: &[Delivered], through: u64) {
        let bytes = envelopes
            .iter()
            .map(|delivered| delivered.sealed.len() as u64)
            .sum();
        self.window.push_back((through, bytes));
        self.window_bytes += bytes;
    }
}

impl Session {
    /// Fetches if something is pending, the window has space and no fetch is in flight.
    pub(super) fn fetch(&mut self) {
        let window_max = self.config.limits.window_bytes;
        let Phase::Authenticated(delivery) = &mut self.phase else {
            return;
        };
        let room = delivery.window_room(window_max);
        let due = delivery.page_due || (delivery.envelopes_due && room > 0);
        if !due || delivery.fetching {
            return;
        }
        delivery.fetching = true;
        delivery.page_due = false;
        delivery.envelopes_due &= room == 0;
        let look = Fetch {
            member: delivery.member,
            after: delivery.shown,
            entries_from: delivery.entries_shown,
            bytes_max: room.min(DELIVER_BYTES),
            at_least_one: delivery.window.is_empty(),
        };
        self.outputs.push_back(Output::Fetch(look));
    }

    pub(super) fn refetch(&mut self) {
        if let Phase::Authenticated(delivery) = &mut self.phase {
            (delivery.envelopes_due, delivery.page_due) = (true, true);
            self.fetch();
        }
        self.refetch_membership();
    }

    pub(super) fn deliver(&mut self, mut page: AccountPage) {
        let Phase::Authenticated(delivery) = &mut self.phase else {
            return;
        };
        delivery.fetching = false;
        let (first, entries) = (page.entries_from, page.entries);
        if first != delivery.entries_shown {
            // Rewound in the meantime by this device's own entries. Envelopes never precede
            // entries.
            return self.refetch();
        }
        delivery.entries_shown += entries.len() as u64;
        // Envelopes acknowledged during the fetch would never be acknowledged again.
        let acked = delivery.acked;
        page.envelopes.retain(|delivered| delivered.seq > acked);
        let shown_before = delivery.shown;
        delivery.shown = delivery.shown.max(page.through);
        let behind = delivery.shown < page.head;
        delivery.window_full |=
            behind && delivery.shown == shown_before && !delivery.window.is_empty();
        delivery.envelopes_due |= behind;
        delivery.page_due |= delivery.entries_shown < page.membership_count;
        let gap = page.gap.filter(|gap| gap.through > delivery.gap_shown);
        if let Some(gap) = gap {
            delivery.gap_shown = gap.through;
        }
        let due = !page.envelopes.is_empty() || (!behind && delivery.behind_announced);
        if due {
            delivery.behind_announced = page.through < page.head;
        }
        if let Some(last) = page.envelopes.last() {
            delivery.take(&page.envelopes, last.seq);
        }

        if !entries.is_empty() {
            self.send(RelayFrame::Membership(wire::Membership { first, entries }));
        }
        if let Some(gap) = gap {
            self.send(RelayFrame::Gap(wire::Gap {
                from: gap.from,
                through: gap.through,
                reason: gap.reason.into(),
            }));
        }
        if due {
            self.send(RelayFrame::Deliver(Deliver {
                envelopes: page.envelopes,
                through: page.through,
                head: page.head,
            }));
        }
        self.fetch();
    }

    pub(super) fn acked(&mut self, through: u64) {
        if let Phase::Authenticated(delivery) = &mut self.phase {
            delivery.acked(through);
            self.fetch();
        }
    }

    /// Sends entries appended by this device as the answer, even if sent before.
    pub(super) fn on_membership_appended(&mut self, first: u64) {
        match &mut self.phase {
            Phase::Authenticated(delivery) => {
                delivery.entries_shown = delivery.entries_shown.min(first)
            }
            Phase::Recovering(recovery) => recovery.rewind(first),
            _ => return,
        }
        self.refetch();
    }

    /// Repeats the fetch that found expired envelopes.
    pub(super) fn on_swept(&mut self) {
        if let Phase::Authenticated(delivery) = &mut self.phase {
            delivery.fetching = false;
            self.refetch();
        }
    }
}
