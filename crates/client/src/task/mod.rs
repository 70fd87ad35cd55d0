//! The owner of engine, journal and connection, on its own thread, so that disk syncs never block
//! the app. Handles reach it through bounded channels.

mod events;
mod slots;

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::connection::Connection;
use crate::error::ClientError;
use crate::profile::Profile;
use crate::status::{ConnectError, Status};
use graceful_engine::OsRng;
use graceful_engine::engine::{Change, Engine, Event, Incoming, Output, PushReceipt, State};
use graceful_engine::inbox::Position;
use graceful_engine::link::PairingLink;
use graceful_engine::pairing::{Joining, seal_refusal};
use graceful_protocol::DeviceKey;
use graceful_raw_client::dial::Address;
use slots::Slot;

/// Capacity of the command queue.
const COMMANDS: usize = 64;
/// Capacity of the delivery queue.
const DELIVERIES: usize = 16;
/// Capacity of the event queue; slower subscribers miss the oldest.
const EVENTS: usize = 1_024;

pub(crate) type Reply<T> = oneshot::Sender<Result<T, ClientError>>;

pub(crate) enum Command {
    Push(Vec<Change>, Reply<PushReceipt>),
    RequestSnapshot(Option<DeviceKey>, Reply<PushReceipt>),
    RetainedChanges(u64, Reply<Vec<(u64, Change)>>),
    Applied(Position, Reply<()>),
    Remove(DeviceKey, Reply<()>),
    DeleteThrough(u64, Reply<u64>),
    DeleteAccount(Reply<u64>),
    DismissAlerts(Reply<()>),
    OpenSlot(PairingLink, Duration, mpsc::Sender<Bytes>, Reply<()>),
    Accept(PairingLink, Joining, Reply<()>),
    Decline(PairingLink, Joining, Reply<()>),
    Announce(Reply<()>),
    Close(Reply<()>),
}

/// The handle's ends of the channels.
pub(crate) struct Channels {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) deliveries: mpsc::Receiver<Incoming>,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) status: watch::Receiver<Status>,
    /// The error that ended the task, if any.
    pub(crate) failure: Arc<OnceLock<String>>,
}

/// A call waiting for a membership change.
struct Waiter {
    device: DeviceKey,
    /// For a joining device: where to send the account.
    pairing: Option<(PairingLink, Joining)>,
    reply: Reply<()>,
}

struct Task {
    engine: Engine,
    profile: Profile,
    address: Address,
    started: Instant,
    commands: mpsc::Receiver<Command>,
    deliveries: mpsc::Sender<Incoming>,
    backlog: VecDeque<Incoming>,
    events: broadcast::Sender<Event>,
    status: watch::Sender<Status>,
    state: State,
    last_error: Option<ConnectError>,
    refusal: Option<ConnectError>,
    connection: Option<Connection>,
    /// Bytes transferred at the last sign of life.
    transferred: u64,
    dialling: Option<JoinHandle<Result<Connection, String>>>,
    slots: Vec<Slot>,
    waiters: Vec<Waiter>,
    deletes: VecDeque<Reply<u64>>,
}

/// Starts the thread. It ends on request, when every handle is dropped, or when the disk fails.
pub(crate) fn start(
    mut profile: Profile,
    address: Address,
    invite: String,
) -> Result<Channels, ClientError> {
    let (commands, command_queue) = mpsc::channel(COMMANDS);
    let (delivery_queue, deliveries) = mpsc::channel(DELIVERIES);
    let (events, _) = broadcast::channel(EVENTS);
    let state = State::Offline { dial_at_ms: None };
    let (status_sender, status) = watch::channel(Status::new(
        &profile.state,
        &profile.relay,
        state.clone(),
        None,
    ));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| ClientError::Closed(error.to_string()))?;
    let event_sender = events.clone();
    let failure = Arc::new(OnceLock::new());
    let failed = failure.clone();
    let run = move || {
        runtime.block_on(async move {
            let engine = Engine::new(profile.state.take(), invite, Box::new(OsRng));
            let mut task = Task {
                engine,
                profile,
                address,
                started: Instant::now(),
                commands: command_queue,
                deliveries: delivery_queue,
                backlog: VecDeque::new(),
                events: event_sender,
                status: status_sender,
                state,
                last_error: None,
                refusal: None,
                connection: None,
                transferred: 0,
                dialling: None,
                slots: Vec::new(),
                waiters: Vec::new(),
                deletes: VecDeque::new(),
            };
            if let Err(error) = task.run().await {
                tracing::error!(%error, "client stopped");
                // Set before the channels close, so that a caller who sees them closed finds it.
                let _ = failed.set(error.to_string());
            }
        });
    };
    std::thread::Builder::new()
        .name("graceful-client".to_owned())
        .spawn(run)
        .map_err(|error| ClientError::Closed(error.to_string()))?;
    Ok(Channels {
        commands,
        deliveries,
        events,
        status,
        failure,
    })
}

enum TaskEvent {
    Command(Option<Command>),
    Frame(Result<graceful_protocol::frame::RelayFrame, String>),
    Dialled(Result<Connection, String>),
    Delivered,
    Tick,
}

impl Task {
    async fn run(&mut self) -> Result<(), ClientError> {
        self.engine.handle_timeout(0);
        loop {
            self.drain().await?;
            self.publish();
            let event = self.wait().await;
            self.engine.set_wall_clock(wall_s());
            match event {
                TaskEvent::Command(Some(Command::Close(reply))) => {
                    let result = self.close().await;
                    let failed = result.is_err();
                    let _ = reply.send(result);
                    return if failed {
                        Err(ClientError::Closed("the disk failed".to_owned()))
                    } else {
                        Ok(())
                    };
                }
                TaskEvent::Command(None) => return self.close().await,
                TaskEvent::Command(Some(command)) => self.command(command).await?,
                TaskEvent::Frame(Ok(frame)) => self.engine.handle_frame(frame, self.now_ms()),
                TaskEvent::Frame(Err(error)) => self.on_disconnect(error),
                TaskEvent::Dialled(Ok(connection)) => {
                    self.connection = Some(connection);
                    self.engine
                        .handle_connected(&self.address.host, self.now_ms());
                }
                TaskEvent::Dialled(Err(error)) => self.on_disconnect(error),
                TaskEvent::Delivered => {}
                TaskEvent::Tick => self.handle_timeout(),
            }
        }
    }

    /// A frame still in transfer over a slow line is a sign of life.
    fn handle_timeout(&mut self) {
        let (now_ms, transferred) = (
            self.now_ms(),
            self.connection.as_ref().map_or(0, Connection::transferred),
        );
        if transferred != self.transferred {
            self.transferred = transferred;
            self.engine.handle_progress(now_ms);
        }
        self.engine.handle_timeout(now_ms);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn wait(&mut self) -> TaskEvent {
        let next_tick = self
            .engine
            .poll_timeout()
            .map(|at_ms| self.started + Duration::from_millis(at_ms));
        let (connection, dialling) = (&mut self.connection, &mut self.dialling);
        let event = tokio::select! {
            permit = self.deliveries.reserve(), if !self.backlog.is_empty() && !self.deliveries.is_closed() => {
                if let (Ok(permit), Some(incoming)) = (permit, self.backlog.pop_front()) {
                    permit.send(incoming);
                }
                TaskEvent::Delivered
            }
            command = self.commands.recv() => TaskEvent::Command(command),
            frame = async { connection.as_mut().expect("checked below").receive().await }, if connection.is_some() => {
                TaskEvent::Frame(frame)
            }
            dialled = async { dialling.as_mut().expect("checked below").await }, if dialling.is_some() => {
                TaskEvent::Dialled(dialled.unwrap_or_else(|error| Err(error.to_string())))
            }
            () = sleep_until(next_tick) => TaskEvent::Tick,
        };
        if matches!(event, TaskEvent::Dialled(_)) {
            self.dialling = None;
        }
        event
    }

    /// Performs every output in order. Records are synced in groups before what follows them.
    async fn drain(&mut self) -> Result<(), ClientError> {
        while let Some(output) = self.engine.poll_output() {
            if let Output::Persist(record) = output {
                self.profile.journal.append(&record);
                continue;
            }
            self.profile.journal.sync()?;
            match output {
                Output::Persist(_) => {}
                Output::Connect => {
                    self.dialling = Some(tokio::spawn(Connection::dial(self.address.clone())));
                }
                Output::Send(frame) => {
                    if let Some(connection) = &self.connection
                        && let Err(error) = connection.send(frame).await
                    {
                        self.on_disconnect(error);
                    }
                }
                Output::Deliver(incoming) => self.backlog.push_back(incoming),
                Output::Event(event) => self.event(event),
                Output::Close => self.on_disconnect("connection closed".to_owned()),
            }
        }
        self.profile.journal.sync()?;
        if self.profile.journal.wants_compaction() {
            self.profile
                .journal
                .compact(&self.engine.state().records())?;
        }
        Ok(())
    }

    fn on_disconnect(&mut self, error: String) {
        if let Some(connection) = self.connection.take() {
            // Closing may take a while; nothing here waits for it.
            tokio::spawn(connection.close());
        }
        let error = self.refusal.take().unwrap_or(ConnectError {
            message: error,
            refusal: None,
        });
        // Before the resync is tried, its refusal is not final.
        if !self.engine.needs_membership_resync() {
            self.last_error = Some(error);
        }
        self.engine.handle_disconnected(self.now_ms());
    }

    fn resolve(
        &mut self,
        device: DeviceKey,
        answer: impl FnMut(&Waiter) -> Result<(), ClientError>,
    ) {
        resolve(&mut self.waiters, device, answer);
    }

    async fn command(&mut self, command: Command) -> Result<(), ClientError> {
        let now_ms = self.now_ms();
        match command {
            Command::Push(changes, reply) => {
                let receipt = self.engine.enqueue(changes, now_ms);
                self.reply(reply, receipt.map_err(ClientError::from))
                    .await?;
            }
            Command::RequestSnapshot(from, reply) => {
                let receipt = self.engine.request_snapshot(from, now_ms);
                self.reply(reply, receipt.map_err(ClientError::from))
                    .await?;
            }
            Command::RetainedChanges(after, reply) => {
                let _ = reply.send(Ok(self.engine.retained_changes(after)));
            }
            Command::Applied(position, reply) => {
                self.engine.applied(&position, now_ms);
                self.reply(reply, Ok(())).await?;
            }
            Command::Remove(device, reply) => match self.engine.remove_device(device, now_ms) {
                Ok(()) => self.waiters.push(Waiter {
                    device,
                    pairing: None,
                    reply,
                }),
                Err(error) => drop(reply.send(Err(error.into()))),
            },
            Command::DeleteThrough(through, reply) => {
                self.deletes.push_back(reply);
                self.engine.delete_through(through, now_ms);
            }
            Command::DeleteAccount(reply) => {
                self.deletes.push_back(reply);
                self.engine.delete_account(now_ms);
            }
            Command::DismissAlerts(reply) => {
                self.engine.dismiss_alerts();
                self.reply(reply, Ok(())).await?;
            }
            Command::OpenSlot(link, lifetime, requests, reply) => {
                self.open_slot(link, lifetime, requests, reply)
            }
            Command::Accept(link, joining, reply) => self.accept(link, joining, reply),
            Command::Decline(link, joining, reply) => {
                let result = seal_refusal(&link, &joining, "", &mut OsRng).map(|sealed| {
                    self.engine.reply_rendezvous(link.id, sealed, now_ms);
                });
                let _ = reply.send(result.map_err(ClientError::from));
            }
            Command::Announce(reply) => {
                self.engine.announce_names(now_ms);
                self.reply(reply, Ok(())).await?;
            }
            Command::Close(_) => {}
        }
        Ok(())
    }

    /// Replies once everything before it is recorded and published.
    async fn reply<T>(
        &mut self,
        reply: Reply<T>,
        result: Result<T, ClientError>,
    ) -> Result<(), ClientError> {
        self.drain().await?;
        self.publish();
        let _ = reply.send(result);
        Ok(())
    }

    fn publish(&mut self) {
        let error = self.last_error.clone();
        let status = Status::new(
            self.engine.state(),
            &self.profile.relay,
            self.state.clone(),
            error,
        );
        self.status.send_if_modified(|current| {
            let changed = *current != status;
            *current = status;
            changed
        });
    }

    /// Records and sends everything, then closes. Unapplied changes are delivered again next time.
    async fn close(&mut self) -> Result<(), ClientError> {
        self.engine.flush_acks(self.now_ms());
        let result = self.drain().await;
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
        result
    }
}

/// Returns the wall clock, which dates alerts.
fn wall_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn resolve(
    waiters: &mut Vec<Waiter>,
    device: DeviceKey,
    mut answer: impl FnMut(&Waiter) -> Result<(), ClientError>,
) {
    for waiter in waiters.extract_if(.., |waiter| waiter.device == device) {
        let result = answer(&waiter);
        let _ = waiter.reply.send(result);
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
