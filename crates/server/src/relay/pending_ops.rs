//! The operations that a session waits for: commands with the writer, a fetch, a subscription and a
//! rendezvous slot.

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
use graceful_rules::command::{
    AccountVersion, Command, DeviceState, Fetch, FetchResult, Outcome, RecoverableAccount,
};
use graceful_rules::session::{Output, Session};
use graceful_store::StoreError;

use super::clock::milliseconds;
use super::connection_limit::ConnectionPermit;
use super::notify::Subscription;
use super::rendezvous::JoinRequest;
use super::{Address, Relay, Stopped};

/// Join requests that may queue for one session.
const JOIN_REQUESTS_MAX: usize = 2;

/// Envelopes up to which a fetch runs inline: they were committed a moment ago, so their pages are
/// in memory and a switch of threads costs more than the read.
const INLINE_FETCH_ENVELOPES_MAX: u64 = 4;

/// The result of an operation.
pub(super) enum OpResult {
    Committed(Outcome),
    Fetched(FetchResult),
    AccountChanged(AccountVersion),
    JoinRequested(JoinRequest),
    JoinReplied(Option<Bytes>),
    /// The relay is stopping or its store has failed: no result will come.
    Stopped,
}

/// An effect on the connection.
#[expect(
    clippy::large_enum_variant,
    reason = "built and matched at once, one at a time"
)]
pub(super) enum Effect {
    Send(RelayFrame),
    Close { code: u16, text: String },
}

/// A fetch from the store.
enum PendingFetch {
    /// On a thread that may block on the disk.
    Spawned(JoinHandle<Result<FetchResult, StoreError>>),
    /// Finished inline.
    Ready(Box<Result<FetchResult, StoreError>>),
}

/// The pending operations of one session.
pub(super) struct PendingOps {
    relay: Relay,
    session_id: u64,
    /// Outcomes arrive in this order.
    changes: VecDeque<oneshot::Receiver<Outcome>>,
    look: Option<PendingFetch>,
    /// The head of the account's log at the last notification.
    head: u64,
    subscription: Option<Subscription>,
    join_requests: Option<mpsc::Receiver<JoinRequest>>,
    joining: Option<(RendezvousId, oneshot::Receiver<Bytes>)>,
    /// The address of the device.
    address: Option<Address>,
    /// Held once the device is authenticated.
    permit: Option<ConnectionPermit>,
}

impl PendingOps {
    pub(super) fn new(relay: Relay, session_id: u64, address: Option<Address>) -> Self {
        Self {
            relay,
            session_id,
            address,
            permit: None,
            changes: VecDeque::new(),
            look: None,
            head: 0,
            subscription: None,
            join_requests: None,
            joining: None,
        }
    }

    /// Executes what the session requests, up to the next effect on the connection.
    pub(super) async fn next_effect(
        &mut self,
        session: &mut Session,
    ) -> Result<Option<Effect>, Stopped> {
        while let Some(request) = session.poll_output() {
            match request {
                Output::Send(frame) => {
                    self.relay.inner.metrics.record_frame(&frame);
                    return Ok(Some(Effect::Send(frame)));
                }
                Output::Close { code, text } => return Ok(Some(Effect::Close { code, text })),
                Output::Commit(change) => {
                    if let Command::CreateAccount { invite, .. } = &change
                        && (invite.is_none() || *invite != *self.relay.canary_invite())
                        && let Err(refusal) = self.check_create_account()
                    {
                        session.refuse(refusal);
                        continue;
                    }
                    let answer = self.relay.inner.writer.commit(change).await?;
                    self.changes.push_back(answer);
                }
                Output::FindDevice { account, device } => {
                    let device_state = Box::pin(self.find(account, device)).await?;
                    match self.acquire_permit(device_state.as_ref(), session) {
                        Ok(()) => session.on_device_found(device_state),
                        Err(refusal) => session.refuse(refusal),
                    }
                }
                Output::FindRecoveryKey { key } => {
                    let found = Box::pin(self.find_recovery(key)).await?;
                    session.on_recovery_key_found(found);
                }
                Output::Fetch(look) => self.start_fetch(look),
                Output::FetchMembership {
                    account,
                    entries_from,
                } => {
                    self.start_fetch_membership(account, entries_from);
                }
                Output::OpenRendezvous { id, lifetime_s } => {
                    self.open_slot(id, lifetime_s, session)
                }
                Output::JoinRendezvous { id, sealed } => self.join_slot(id, sealed, session),
                Output::ReplyRendezvous { id, sealed } => {
                    if !self
                        .relay
                        .inner
                        .rendezvous
                        .reply(id, self.session_id, sealed)
                    {
                        session.on_rendezvous_reply_lost();
                    }
                }
            }
        }
        Ok(None)
    }

    /// Returns a refusal if the account exceeds its rate, where no reader can be delayed.
    pub(super) fn check_rate(&self, session: &Session, bytes: u64) -> Option<Refusal> {
        let now_ms = self.relay.inner.clock.uptime_ms();
        let pause =
            self.relay
                .inner
                .rate_limiter
                .charge(session.member()?.account, 1, bytes, now_ms);
        let text = "this account exceeds its rate limit; retry later";
        let retry_after_ms = milliseconds(pause);
        (retry_after_ms > 0)
            .then(|| Refusal::new(Code::Overloaded, text).retry_after_ms(retry_after_ms))
    }

    fn check_create_account(&self) -> Result<(), Refusal> {
        let connections = self.relay.inner.connections.load(Ordering::Relaxed);
        let now_ms = self.relay.inner.clock.uptime_ms();
        self.relay
            .inner
            .rate_limiter
            .check_create_account(self.address, connections, now_ms)
    }

    /// Acquires a connection permit for an authenticated device. Others learn nothing about
    /// permits.
    fn acquire_permit(
        &mut self,
        device_state: Option<&DeviceState>,
        session: &Session,
    ) -> Result<(), Refusal> {
        if let Some(device_state) = device_state.filter(|_| session.is_proven()) {
            self.permit = Some(
                self.relay
                    .inner
                    .connection_limiter
                    .acquire(device_state.member.account)?,
            );
        }
        Ok(())
    }

    fn open_slot(&mut self, id: RendezvousId, lifetime_s: u32, session: &mut Session) {
        let Some(member) = session.member() else {
            return;
        };
        let (owner, join_requests) = mpsc::channel(JOIN_REQUESTS_MAX);
        let lifetime = Duration::from_secs(lifetime_s.into());
        let owner_session = (self.session_id, member.account);
        let opened = self
            .relay
            .inner
            .rendezvous
            .open(id, owner_session, owner, lifetime);
        self.join_requests = Some(join_requests);
        session.on_rendezvous_opened(id, opened);
    }

    fn join_slot(&mut self, id: RendezvousId, sealed: Bytes, session: &mut Session) {
        let now_ms = self.relay.inner.clock.uptime_ms();
        if let Err(refusal) = self
            .relay
            .inner
            .rate_limiter
            .check_join(self.address, now_ms)
        {
            return session.refuse(refusal);
        }
        match self.relay.inner.rendezvous.join(id, sealed) {
            Some(reply) => self.joining = Some((id, reply)),
            None => session.on_rendezvous_closed(),
        }
    }

    /// Subscribes before it reads, so that no change is missed.
    async fn find(
        &mut self,
        account: AccountId,
        device: DeviceKey,
    ) -> Result<Option<DeviceState>, Stopped> {
        let found = self.relay.inner.store.find(account, device).await;
        let device_state = self.relay.inner.writer.check_read(found)?;
        if let Some(device_state) = &device_state {
            self.subscription = Some(
                self.relay
                    .inner
                    .subscriptions
                    .subscribe(device_state.member.account),
            );
        }
        Ok(device_state)
    }

    /// As [`PendingOps::find`].
    async fn find_recovery(
        &mut self,
        key: DeviceKey,
    ) -> Result<Option<RecoverableAccount>, Stopped> {
        let found = self.relay.inner.store.find_recovery(key).await;
        let found = self.relay.inner.writer.check_read(found)?;
        if let Some(found) = &found {
            self.subscription = Some(self.relay.inner.subscriptions.subscribe(found.account));
        }
        Ok(found)
    }

    fn start_fetch_membership(&mut self, account: AccountNumber, entries_from: u64) {
        let store = &self.relay.inner.store;
        let look = store.spawn_fetch_membership(account, entries_from);
        self.look = Some(PendingFetch::Spawned(look));
    }

    fn start_fetch(&mut self, look: Fetch) {
        let (store, now) = (&self.relay.inner.store, self.relay.inner.clock.now());
        let live = look.after < self.head && self.head - look.after <= INLINE_FETCH_ENVELOPES_MAX;
        self.look = Some(match live {
            true => PendingFetch::Ready(Box::new(store.fetch_inline(&look, now))),
            false => PendingFetch::Spawned(store.spawn_fetch(look, now)),
        });
    }

    /// Returns the result of the next operation that finishes. Cancel safe.
    pub(super) async fn next_result(&mut self) -> OpResult {
        // Outcomes first: a session that knows the positions of its own push need not fetch them.
        tokio::select! {
            biased;
            answer = first_outcome(&mut self.changes) => {
                self.changes.pop_front();
                if self.changes.is_empty() {
                    self.changes = VecDeque::new();
                }
                answer.map_or(OpResult::Stopped, OpResult::Committed)
            }
            view = fetched(&mut self.look) => {
                self.look = None;
                match self.relay.inner.writer.check_read(view) {
                    Ok(view) => OpResult::Fetched(view),
                    Err(Stopped) => OpResult::Stopped,
                }
            }
            version = account_changed(&mut self.subscription) => OpResult::AccountChanged(version),
            met = join_request(&mut self.join_requests) => OpResult::JoinRequested(met),
            reply = join_reply(&mut self.joining) => {
                OpResult::JoinReplied(reply.ok())
            }
        }
    }

    /// Passes a result to the session.
    pub(super) fn apply(&mut self, result: OpResult, session: &mut Session) -> Result<(), Stopped> {
        match result {
            OpResult::Committed(outcome) => {
                if outcome == Outcome::AccountCreated {
                    self.relay
                        .inner
                        .rate_limiter
                        .on_account_created(self.relay.inner.clock.uptime_ms());
                }
                session.on_committed(outcome);
            }
            OpResult::Fetched(view) => session.on_fetched(view),
            OpResult::AccountChanged(version) => {
                self.head = version.head;
                session.on_account_changed(version);
            }
            OpResult::JoinRequested(met) => session.on_rendezvous_message(met.id, met.sealed),
            OpResult::JoinReplied(sealed) => match (self.joining.take(), sealed) {
                (Some((id, _)), Some(sealed)) => session.on_rendezvous_reply(id, sealed),
                _ => session.on_rendezvous_closed(),
            },
            OpResult::Stopped => return Err(Stopped),
        }
        Ok(())
    }
}

impl Drop for PendingOps {
    fn drop(&mut self) {
        if self.join_requests.is_some() {
            self.relay.inner.rendezvous.leave(self.session_id);
        }
    }
}

async fn first_outcome(
    changes: &mut VecDeque<oneshot::Receiver<Outcome>>,
) -> Result<Outcome, RecvError> {
    match changes.front_mut() {
        Some(answer) => answer.await,
        None => std::future::pending().await,
    }
}

async fn fetched(
    look: &mut Option<PendingFetch>,
) -> Result<Result<FetchResult, StoreError>, tokio::task::JoinError> {
    match look {
        Some(PendingFetch::Spawned(handle)) => handle.await,
        Some(PendingFetch::Ready(_)) => match look.take() {
            Some(PendingFetch::Ready(view)) => Ok(*view),
            _ => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

async fn account_changed(subscription: &mut Option<Subscription>) -> AccountVersion {
    match subscription {
        Some(subscription) => subscription.next().await,
        None => std::future::pending().await,
    }
}

async fn join_request(join_requests: &mut Option<mpsc::Receiver<JoinRequest>>) -> JoinRequest {
    if let Some(join_requests) = join_requests
        && let Some(met) = join_requests.recv().await
    {
        return met;
    }
    std::future::pending().await
}

async fn join_reply(
    joining: &mut Option<(RendezvousId, oneshot::Receiver<Bytes>)>,
) -> Result<Bytes, RecvError> {
    match joining {
        Some((_, reply)) => reply.await,
        None => std::future::pending().await,
    }
}
