//! What of the account's log a device has been shown, and how far ahead of its acks that may run.
//!
//! Live delivery and catching up are one road: look at the log after what was shown, show it, and
//! look again when there is news or room in the window.

use std::collections::VecDeque;

use graceful_protocol::AccountId;
use graceful_protocol::frame::RelayFrame;
use graceful_protocol::wire::{self, Deliver, Delivered, Placement};

use super::super::change::{Look, News, Ready, Standing, Whose};
use super::{Conversation, Phase, Request};

/// Bytes of envelopes in one Deliver frame, unless a single one is larger.
const DELIVER_BYTES: u64 = 256 * 1024;

/// A device's place in the log, as one conversation sees it.
#[derive(Debug)]
pub(super) struct Delivery {
    whose: Whose,
    account: AccountId,
    entries_shown: u64,
    shown: u64,
    acked: u64,
    gap_shown: u64,
    /// Whether the last Deliver left the device behind: another follows, even an empty one.
    behind_said: bool,
    looking: bool,
    /// There are envelopes to see, once the window has room.
    look_due: bool,
    /// There is something else to see (entries, a gap, the end), which waits for no window.
    view_due: bool,
    news: News,
    /// Frames shown and not yet acknowledged: the seq each goes to, and its bytes.
    window: VecDeque<(u64, u64)>,
    window_bytes: u64,
    /// The next envelope did not fit what room there was: only an ack makes looking worth while.
    window_full: bool,
}

impl Delivery {
    pub(super) fn new(standing: &Standing, entries_shown: u64) -> Self {
        Self {
            whose: standing.whose,
            account: standing.account,
            entries_shown,
            shown: standing.cursor,
            acked: standing.cursor,
            gap_shown: 0,
            behind_said: true,
            looking: false,
            look_due: true,
            view_due: true,
            news: News {
                head: standing.head,
                membership_count: standing.membership_count,
                turns: 0,
            },
            window: VecDeque::new(),
            window_bytes: 0,
            window_full: false,
        }
    }

    pub(super) fn whose(&self) -> Whose {
        self.whose
    }

    pub(super) fn account_id(&self) -> AccountId {
        self.account
    }

    pub(super) fn is_looking(&self) -> bool {
        self.looking
    }

    /// News of what it has not seen asks for a look.
    pub(super) fn hear(&mut self, news: News) {
        let turned = news.turns != self.news.turns;
        self.news = news;
        self.look_due |= news.head > self.shown;
        self.view_due |= turned || news.membership_count > self.entries_shown;
    }

    /// A device that was shown everything need not look at what it has just pushed itself.
    pub(super) fn skip_own(&mut self, placements: &[Placement]) {
        for placement in placements {
            if !self.looking && placement.seq == self.shown + 1 {
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

impl Conversation {
    /// Looks, if there is reason to, room for what may be seen, and no look under way.
    pub(super) fn look(&mut self) {
        let window_max = self.terms.limits.window_bytes;
        let Phase::Ready(delivery) = &mut self.phase else {
            return;
        };
        let room = delivery.window_room(window_max);
        let due = delivery.view_due || (delivery.look_due && room > 0);
        if !due || delivery.looking {
            return;
        }
        delivery.looking = true;
        delivery.view_due = false;
        delivery.look_due &= room == 0;
        let look = Look {
            whose: delivery.whose,
            after: delivery.shown,
            entries_from: delivery.entries_shown,
            bytes_max: room.min(DELIVER_BYTES),
            one_at_least: delivery.window.is_empty(),
        };
        self.requests.push_back(Request::Look(look));
    }

    pub(super) fn look_again(&mut self) {
        if let Phase::Ready(delivery) = &mut self.phase {
            (delivery.look_due, delivery.view_due) = (true, true);
            self.look();
        }
        self.look_at_log_again();
    }

    pub(super) fn deliver(&mut self, mut ready: Ready) {
        let Phase::Ready(delivery) = &mut self.phase else {
            return;
        };
        delivery.looking = false;
        let (first, entries) = (ready.entries_from, ready.entries);
        if first != delivery.entries_shown {
            // Rewound meanwhile, by an offer of this device's own. No envelope goes before the entries.
            return self.look_again();
        }
        delivery.entries_shown += entries.len() as u64;
        // What was acknowledged while the look was under way would wait for an ack for ever.
        let acked = delivery.acked;
        ready.envelopes.retain(|delivered| delivered.seq > acked);
        let shown_before = delivery.shown;
        delivery.shown = delivery.shown.max(ready.through);
        let behind = delivery.shown < ready.head;
        delivery.window_full |=
            behind && delivery.shown == shown_before && !delivery.window.is_empty();
        delivery.look_due |= behind;
        delivery.view_due |= delivery.entries_shown < ready.membership_count;
        let gap = ready.gap.filter(|gap| gap.through > delivery.gap_shown);
        if let Some(gap) = gap {
            delivery.gap_shown = gap.through;
        }
        let due = !ready.envelopes.is_empty() || (!behind && delivery.behind_said);
        if due {
            delivery.behind_said = ready.through < ready.head;
        }
        if let Some(last) = ready.envelopes.last() {
            delivery.take(&ready.envelopes, last.seq);
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
                envelopes: ready.envelopes,
                through: ready.through,
                head: ready.head,
            }));
        }
        self.look();
    }

    pub(super) fn acked(&mut self, through: u64) {
        if let Phase::Ready(delivery) = &mut self.phase {
            delivery.acked(through);
            self.look();
        }
    }

    /// Entries that this device offered are the answer to its offer, even if shown before.
    pub(super) fn appended(&mut self, first: u64) {
        match &mut self.phase {
            Phase::Ready(delivery) => delivery.entries_shown = delivery.entries_shown.min(first),
            Phase::Recovering(recovery) => recovery.show_again(first),
            _ => return,
        }
        self.look_again();
    }

    /// What had expired is gone: the look that found it is made again.
    pub(super) fn swept(&mut self) {
        if let Phase::Ready(delivery) = &mut self.phase {
            delivery.looking = false;
            self.look_again();
        }
    }
}
