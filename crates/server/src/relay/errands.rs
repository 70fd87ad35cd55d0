//! What a conversation has asked for and not yet heard of: changes with the writer, a look at the
//! store, an ear on the account, a slot at the rendezvous.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot::error::RecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use graceful_protocol::frame::RelayFrame;
use graceful_protocol::{AccountId, Code, DeviceKey, Refusal, RendezvousId};
use graceful_rules::AccountNumber;
use graceful_rules::change::{Change, Look, News, Outcome, Recoverable, Standing, View};
use graceful_rules::conversation::{Conversation, Request};
use graceful_store::StoreError;

use super::clock::milliseconds;
use super::rendezvous::Met;
use super::seats::Seat;
use super::wake::Listener;
use super::{Address, Relay, Stopped};

/// Devices that may come to one session's slots before it hears of the first.
const MEETINGS_MAX: usize = 2;

/// Envelopes that a look may find for it to be made at once: they were committed a moment ago, so that their
/// pages are in memory, and going to another thread would take longer than reading them.
const LOOK_AT_ONCE_MAX: u64 = 4;

/// What comes back from an errand.
pub(super) enum Report {
    Committed(Outcome),
    Viewed(View),
    News(News),
    Met(Met),
    Replied(Option<Bytes>),
    /// The relay is stopping, or its store has failed: there will be no answer.
    Stopped,
}

/// What is left for whoever holds the connection.
#[expect(
    clippy::large_enum_variant,
    reason = "made and taken apart at once, one at a time"
)]
pub(super) enum Doing {
    Send(RelayFrame),
    Close { code: u16, text: String },
}

/// A look at the store.
enum Looking {
    /// By a thread that may wait for the disk.
    Elsewhere(JoinHandle<Result<View, StoreError>>),
    /// Made already.
    Done(Box<Result<View, StoreError>>),
}

/// The errands of one conversation.
pub(super) struct Errands {
    relay: Relay,
    session: u64,
    /// Answered in this order.
    changes: VecDeque<oneshot::Receiver<Outcome>>,
    look: Option<Looking>,
    /// How far its account's log goes, by the last news.
    head: u64,
    listener: Option<Listener>,
    meetings: Option<mpsc::Receiver<Met>>,
    joining: Option<(RendezvousId, oneshot::Receiver<Bytes>)>,
    /// Where the device comes from.
    address: Option<Address>,
    /// That of its account, once it has proved who it is.
    seat: Option<Seat>,
}

impl Errands {
    pub(super) fn new(relay: Relay, session: u64, address: Option<Address>) -> Self {
        Self {
            relay,
            session,
            address,
            seat: None,
            changes: VecDeque::new(),
            look: None,
            head: 0,
            listener: None,
            meetings: None,
            joining: None,
        }
    }

    /// Does what the conversation asks, up to the next thing that concerns the connection.
    pub(super) async fn run(
        &mut self,
        conversation: &mut Conversation,
    ) -> Result<Option<Doing>, Stopped> {
        while let Some(request) = conversation.next() {
            match request {
                Request::Send(frame) => {
                    self.relay.inner.metrics.says(&frame);
                    return Ok(Some(Doing::Send(frame)));
                }
                Request::Close { code, text } => return Ok(Some(Doing::Close { code, text })),
                Request::Commit(change) => {
                    if let Change::Found { invite, .. } = &change
                        && (invite.is_none() || *invite != *self.relay.trial())
                        && let Err(refusal) = self.may_found()
                    {
                        conversation.refuse(refusal);
                        continue;
                    }
                    let answer = self.relay.inner.writer.commit(change).await?;
                    self.changes.push_back(answer);
                }
                Request::Find { account, device } => {
                    let standing = Box::pin(self.find(account, device)).await?;
                    match self.sit_down(standing.as_ref(), conversation) {
                        Ok(()) => conversation.looked_up(standing),
                        Err(refusal) => conversation.refuse(refusal),
                    }
                }
                Request::FindRecovery { key } => {
                    let found = Box::pin(self.find_recovery(key)).await?;
                    conversation.recovery_found(found);
                }
                Request::Look(look) => self.start_look(look),
                Request::LookAtLog {
                    account,
                    entries_from,
                } => {
                    self.start_look_at_log(account, entries_from);
                }
                Request::OpenSlot { id, lifetime_s } => {
                    self.open_slot(id, lifetime_s, conversation)
                }
                Request::JoinSlot { id, sealed } => self.join_slot(id, sealed, conversation),
                Request::Reply { id, sealed } => {
                    if !self.relay.inner.rendezvous.reply(id, self.session, sealed) {
                        conversation.reply_lost();
                    }
                }
            }
        }
        Ok(None)
    }

    /// Where nobody can be made to wait: whether the account has sent more than it should.
    pub(super) fn too_fast(&self, conversation: &Conversation, bytes: u64) -> Option<Refusal> {
        let now_ms = self.relay.inner.clock.uptime_ms();
        let pause = self
            .relay
            .inner
            .fair
            .pace(conversation.whose()?.account, 1, bytes, now_ms);
        let text = "this account sends more than its share; go on a little later";
        let retry_after_ms = milliseconds(pause);
        (retry_after_ms > 0)
            .then(|| Refusal::new(Code::Overloaded, text).retry_after_ms(retry_after_ms))
    }

    fn may_found(&self) -> Result<(), Refusal> {
        let connections = self.relay.inner.connections.load(Ordering::Relaxed);
        let now_ms = self.relay.inner.clock.uptime_ms();
        self.relay
            .inner
            .fair
            .may_found(self.address, connections, now_ms)
    }

    /// Takes a seat for who has proved to be this device. Others learn nothing of whether there is one.
    fn sit_down(
        &mut self,
        standing: Option<&Standing>,
        conversation: &Conversation,
    ) -> Result<(), Refusal> {
        if let Some(standing) = standing.filter(|_| conversation.is_proven()) {
            self.seat = Some(self.relay.inner.seats.take(standing.whose.account)?);
        }
        Ok(())
    }

    fn open_slot(&mut self, id: RendezvousId, lifetime_s: u32, conversation: &mut Conversation) {
        let Some(whose) = conversation.whose() else {
            return;
        };
        let (owner, meetings) = mpsc::channel(MEETINGS_MAX);
        let lifetime = Duration::from_secs(lifetime_s.into());
        let session = (self.session, whose.account);
        let opened = self
            .relay
            .inner
            .rendezvous
            .open(id, session, owner, lifetime);
        self.meetings = Some(meetings);
        conversation.slot_opened(id, opened);
    }

    fn join_slot(&mut self, id: RendezvousId, sealed: Bytes, conversation: &mut Conversation) {
        let now_ms = self.relay.inner.clock.uptime_ms();
        if let Err(refusal) = self.relay.inner.fair.may_join(self.address, now_ms) {
            return conversation.refuse(refusal);
        }
        match self.relay.inner.rendezvous.join(id, sealed) {
            Some(reply) => self.joining = Some((id, reply)),
            None => conversation.slot_over(),
        }
    }

    /// Listens before it looks, so that nothing falls between.
    async fn find(
        &mut self,
        account: AccountId,
        device: DeviceKey,
    ) -> Result<Option<Standing>, Stopped> {
        let store = self.relay.inner.store.clone();
        let found = tokio::task::spawn_blocking(move || store.find(&account, &device)).await;
        let standing = self.relay.inner.writer.read(found)?;
        if let Some(standing) = &standing {
            self.listener = Some(self.relay.inner.wakes.listen(standing.whose.account));
        }
        Ok(standing)
    }

    /// As [`Errands::find`].
    async fn find_recovery(&mut self, key: DeviceKey) -> Result<Option<Recoverable>, Stopped> {
        let store = self.relay.inner.store.clone();
        let found = tokio::task::spawn_blocking(move || store.find_recovery(&key)).await;
        let found = self.relay.inner.writer.read(found)?;
        if let Some(found) = &found {
            self.listener = Some(self.relay.inner.wakes.listen(found.account));
        }
        Ok(found)
    }

    fn start_look_at_log(&mut self, account: AccountNumber, entries_from: u64) {
        let store = self.relay.inner.store.clone();
        let look = tokio::task::spawn_blocking(move || store.look_at_log(account, entries_from));
        self.look = Some(Looking::Elsewhere(look));
    }

    fn start_look(&mut self, look: Look) {
        let (store, now) = (self.relay.inner.store.clone(), self.relay.inner.clock.now());
        let live = look.after < self.head && self.head - look.after <= LOOK_AT_ONCE_MAX;
        self.look = Some(match live {
            true => Looking::Done(Box::new(store.look(&look, now))),
            false => {
                Looking::Elsewhere(tokio::task::spawn_blocking(move || store.look(&look, now)))
            }
        });
    }

    /// The next report, whichever errand it is of. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Report {
        // Answers first: who has heard where its own push went need not look for it when the news comes.
        tokio::select! {
            biased;
            answer = first(&mut self.changes) => {
                self.changes.pop_front();
                if self.changes.is_empty() {
                    self.changes = VecDeque::new();
                }
                answer.map_or(Report::Stopped, Report::Committed)
            }
            view = wait(&mut self.look) => {
                self.look = None;
                match self.relay.inner.writer.read(view) {
                    Ok(view) => Report::Viewed(view),
                    Err(Stopped) => Report::Stopped,
                }
            }
            news = hear(&mut self.listener) => Report::News(news),
            met = meet(&mut self.meetings) => Report::Met(met),
            reply = reply(&mut self.joining) => {
                Report::Replied(reply.ok())
            }
        }
    }

    /// Tells the conversation.
    pub(super) fn report(
        &mut self,
        report: Report,
        conversation: &mut Conversation,
    ) -> Result<(), Stopped> {
        match report {
            Report::Committed(outcome) => {
                if outcome == Outcome::Founded {
                    self.relay
                        .inner
                        .fair
                        .founded(self.relay.inner.clock.uptime_ms());
                }
                conversation.committed(outcome);
            }
            Report::Viewed(view) => conversation.viewed(view),
            Report::News(news) => {
                self.head = news.head;
                conversation.woken(news);
            }
            Report::Met(met) => conversation.met(met.id, met.sealed),
            Report::Replied(sealed) => match (self.joining.take(), sealed) {
                (Some((id, _)), Some(sealed)) => conversation.answered(id, sealed),
                _ => conversation.slot_over(),
            },
            Report::Stopped => return Err(Stopped),
        }
        Ok(())
    }
}

impl Drop for Errands {
    fn drop(&mut self) {
        if self.meetings.is_some() {
            self.relay.inner.rendezvous.leave(self.session);
        }
    }
}

async fn first(changes: &mut VecDeque<oneshot::Receiver<Outcome>>) -> Result<Outcome, RecvError> {
    match changes.front_mut() {
        Some(answer) => answer.await,
        None => std::future::pending().await,
    }
}

async fn wait(
    look: &mut Option<Looking>,
) -> Result<Result<View, StoreError>, tokio::task::JoinError> {
    match look {
        Some(Looking::Elsewhere(handle)) => handle.await,
        Some(Looking::Done(_)) => match look.take() {
            Some(Looking::Done(view)) => Ok(*view),
            _ => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

async fn hear(listener: &mut Option<Listener>) -> News {
    match listener {
        Some(listener) => listener.next().await,
        None => std::future::pending().await,
    }
}

async fn meet(meetings: &mut Option<mpsc::Receiver<Met>>) -> Met {
    if let Some(meetings) = meetings
        && let Some(met) = meetings.recv().await
    {
        return met;
    }
    std::future::pending().await
}

async fn reply(
    joining: &mut Option<(RendezvousId, oneshot::Receiver<Bytes>)>,
) -> Result<Bytes, RecvError> {
    match joining {
        Some((_, reply)) => reply.await,
        None => std::future::pending().await,
    }
}
