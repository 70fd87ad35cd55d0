//! One conversation over a connection, from greeting to close.

use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::future::{FusedFuture, FutureExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use graceful_protocol::frame::{self, DeviceFrame, Malformed};
use graceful_protocol::{Code, Refusal};
use graceful_rules::conversation::Conversation;

use super::errands::{Doing, Errands};
use super::{Relay, Stopped, Transport, TransportError, random, wall_ms};

/// Devices come back over this many milliseconds after a restart, not all at once.
const RESTART_SPREAD_MS: u64 = 10_000;

/// Counts a conversation while it lasts.
struct Counted<'a>(&'a Relay);

impl<'a> Counted<'a> {
    fn new(relay: &'a Relay) -> Self {
        relay.inner.connections.fetch_add(1, Ordering::Relaxed);
        Self(relay)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.inner.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The connection broke, or nothing more can be said on it.
struct Ended;

impl From<TransportError> for Ended {
    fn from(_: TransportError) -> Self {
        Self
    }
}

impl From<Stopped> for Ended {
    fn from(_: Stopped) -> Self {
        Self
    }
}

impl Relay {
    /// Runs one conversation until either side ends it, or `cancel` does.
    pub async fn converse(&self, transport: &mut impl Transport, cancel: CancellationToken) {
        let _counted = Counted::new(self);
        let now_ms = self.inner.clock.uptime_ms();
        let conversation = Conversation::new(self.inner.terms.clone(), random(), wall_ms(), now_ms);
        let session = self.inner.sessions_begun.fetch_add(1, Ordering::Relaxed);
        let errands = Errands::new(self.clone(), session, transport.address());
        let mut session = Session {
            relay: self,
            conversation,
            errands,
            transport,
            moved: 0,
            known: false,
            paused_until: None,
        };
        if session.run(cancel).await.is_err() {
            tracing::debug!("a connection ended without a goodbye");
        }
    }
}

struct Session<'a, T> {
    relay: &'a Relay,
    conversation: Conversation,
    errands: Errands,
    transport: &'a mut T,
    /// Bytes that had come and gone when the connection was last found to be alive.
    moved: u64,
    /// The transport was told that the device has proved who it is.
    known: bool,
    /// Its account has sent more than it should: nothing is read before.
    paused_until: Option<Instant>,
}

impl<T: Transport> Session<'_, T> {
    async fn run(&mut self, cancel: CancellationToken) -> Result<(), Ended> {
        // Asked for once: a conversation waits a thousand times, and is stopped once.
        let mut cancelled = pin!(cancel.cancelled_owned().fuse());
        loop {
            loop {
                let doing = self.errands.run(&mut self.conversation).await?;
                // Encoded here, and not kept while it goes out.
                let frame = match doing {
                    Some(Doing::Send(frame)) => frame::relay_bytes(frame),
                    Some(Doing::Close { code, text }) => {
                        // Of this step's memory an open conversation has none.
                        Box::pin(self.transport.close(code, &text)).await;
                        return Ok(());
                    }
                    None => break,
                };
                self.transport.send(frame).await?;
            }
            self.tell_known();
            self.wait(cancelled.as_mut()).await?;
        }
    }

    fn tell_known(&mut self) {
        if !self.known && self.conversation.whose().is_some() {
            self.known = true;
            self.transport.known();
        }
    }

    /// Waits for whatever comes first, and tells the conversation.
    async fn wait(
        &mut self,
        mut cancelled: Pin<&mut impl FusedFuture<Output = ()>>,
    ) -> Result<(), Ended> {
        let clock = &self.relay.inner.clock;
        let deadline = self
            .conversation
            .deadline_ms()
            .map(|deadline_ms| clock.instant(deadline_ms));
        // What has happened goes before what has not happened in time.
        tokio::select! {
            biased;
            () = &mut cancelled, if !cancelled.is_terminated() => {
                let spread = u64::from_be_bytes(random()) % RESTART_SPREAD_MS;
                self.conversation.stop(1 + spread);
            }
            report = self.errands.next() => self.errands.report(report, &mut self.conversation)?,
            received = receive(self.transport, self.paused_until), if self.conversation.wants_frames() => {
                match received {
                    Some(received) => self.received(received)?,
                    None => return Err(Ended),
                }
            }
            () = sleep_until(deadline) => self.time_passed(clock.uptime_ms()),
        }
        Ok(())
    }

    /// A frame that is still on its way over a slow line is a sign of life, too.
    fn time_passed(&mut self, now_ms: u64) {
        let moved = self.transport.moved();
        if moved != self.moved {
            self.moved = moved;
            self.conversation.alive(now_ms);
        }
        self.conversation.tick(now_ms);
    }

    /// A frame, and how long its account has to wait for the next.
    fn read(&mut self, bytes: Bytes) -> Result<DeviceFrame, Malformed> {
        if let Some(whose) = self.conversation.whose() {
            let (now_ms, size) = (self.relay.inner.clock.uptime_ms(), bytes.len() as u64);
            let pause = self.relay.inner.fair.pace(whose.account, 1, size, now_ms);
            self.paused_until = (!pause.is_zero()).then(|| Instant::now() + pause);
        }
        frame::from_device(bytes)
    }

    fn received(&mut self, received: Result<Bytes, TransportError>) -> Result<(), Ended> {
        let refusal = match received {
            Ok(bytes) => match self.read(bytes) {
                Ok(frame) => {
                    self.conversation
                        .received(frame, self.relay.inner.clock.uptime_ms());
                    return Ok(());
                }
                Err(malformed) => Refusal::new(Code::Malformed, malformed.to_string()),
            },
            Err(TransportError::TooLarge) => {
                let most = self.relay.inner.terms.limits.frame_bytes_max;
                Refusal::new(
                    Code::TooLarge,
                    format!("a frame has at most {most} bytes here"),
                )
            }
            Err(TransportError::TooSlow) => Refusal::new(
                Code::Timeout,
                "a large frame came slowly while others waited for the memory that it took; try again later",
            ),
            Err(TransportError::NotBinary) => Refusal::new(
                Code::Malformed,
                "frames are binary messages; this one was text",
            ),
            Err(TransportError::Gone(_)) => return Err(Ended),
        };
        self.conversation.refuse(refusal);
        Ok(())
    }
}

/// May be dropped and called again, as what it waits for.
async fn receive<T: Transport>(
    transport: &mut T,
    paused_until: Option<Instant>,
) -> Option<Result<Bytes, TransportError>> {
    if let Some(until) = paused_until {
        tokio::time::sleep_until(until).await;
    }
    transport.receive().await
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
