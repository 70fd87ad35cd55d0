//! The I/O driver of a session: one connection from greeting to close.

use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::future::{FusedFuture, FutureExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use graceful_protocol::frame::{self, DeviceFrame, Malformed};
use graceful_protocol::{Code, Refusal};
use graceful_rules::session::Session;

use super::pending_ops::{Effect, PendingOps};
use super::{Relay, Stopped, Transport, TransportError, random, wall_ms};

/// Devices reconnect at a random time within this many milliseconds after a restart.
const RESTART_SPREAD_MS: u64 = 10_000;

/// Counts a session while it lasts.
struct SessionGuard<'a>(&'a Relay);

impl<'a> SessionGuard<'a> {
    fn new(relay: &'a Relay) -> Self {
        relay.inner.connections.fetch_add(1, Ordering::Relaxed);
        Self(relay)
    }
}

impl Drop for SessionGuard<'_> {
    fn drop(&mut self) {
        self.0.inner.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The connection broke, or the session ended without a close frame.
struct ConnectionClosed;

impl From<TransportError> for ConnectionClosed {
    fn from(_: TransportError) -> Self {
        Self
    }
}

impl From<Stopped> for ConnectionClosed {
    fn from(_: Stopped) -> Self {
        Self
    }
}

impl Relay {
    /// Runs one session until either side ends it or `cancel` is cancelled.
    pub async fn run_session(&self, transport: &mut impl Transport, cancel: CancellationToken) {
        let _guard = SessionGuard::new(self);
        let now_ms = self.inner.clock.uptime_ms();
        let session = Session::new(
            self.inner.session_config.clone(),
            random(),
            wall_ms(),
            now_ms,
        );
        let session_id = self.inner.next_session_id.fetch_add(1, Ordering::Relaxed);
        let ops = PendingOps::new(self.clone(), session_id, transport.address());
        let mut driver = SessionDriver {
            relay: self,
            session,
            ops,
            transport,
            moved: 0,
            known: false,
            paused_until: None,
        };
        if driver.run(cancel).await.is_err() {
            tracing::debug!("connection ended without a close frame");
        }
    }
}

struct SessionDriver<'a, T> {
    relay: &'a Relay,
    session: Session,
    ops: PendingOps,
    transport: &'a mut T,
    /// Bytes transferred when the connection was last found alive.
    moved: u64,
    /// Whether the transport knows that the device is authenticated.
    known: bool,
    /// The account exceeded its rate: nothing is read before.
    paused_until: Option<Instant>,
}

impl<T: Transport> SessionDriver<'_, T> {
    async fn run(&mut self, cancel: CancellationToken) -> Result<(), ConnectionClosed> {
        // Registered once, since a session waits a thousand times and is cancelled once.
        let mut cancelled = pin!(cancel.cancelled_owned().fuse());
        loop {
            loop {
                let doing = self.ops.next_effect(&mut self.session).await?;
                // Encoded here, so that no copy is kept while it is sent.
                let frame = match doing {
                    Some(Effect::Send(frame)) => frame::relay_bytes(frame),
                    Some(Effect::Close { code, text }) => {
                        // Boxed, so that an open session does not reserve memory for its close.
                        Box::pin(self.transport.close(code, &text)).await;
                        return Ok(());
                    }
                    None => break,
                };
                self.transport.send(frame).await?;
            }
            self.report_authenticated();
            self.wait(cancelled.as_mut()).await?;
        }
    }

    fn report_authenticated(&mut self) {
        if !self.known && self.session.member().is_some() {
            self.known = true;
            self.transport.mark_authenticated();
        }
    }

    /// Waits for the next event and passes it to the session.
    async fn wait(
        &mut self,
        mut cancelled: Pin<&mut impl FusedFuture<Output = ()>>,
    ) -> Result<(), ConnectionClosed> {
        let clock = &self.relay.inner.clock;
        let deadline = self
            .session
            .poll_timeout()
            .map(|deadline_ms| clock.instant(deadline_ms));
        // Events that happened take precedence over timeouts.
        tokio::select! {
            biased;
            () = &mut cancelled, if !cancelled.is_terminated() => {
                let spread = u64::from_be_bytes(random()) % RESTART_SPREAD_MS;
                self.session.shut_down(1 + spread);
            }
            result = self.ops.next_result() => self.ops.apply(result, &mut self.session)?,
            received = receive(self.transport, self.paused_until), if self.session.wants_frames() => {
                match received {
                    Some(received) => self.received(received)?,
                    None => return Err(ConnectionClosed),
                }
            }
            () = sleep_until(deadline) => self.time_passed(clock.uptime_ms()),
        }
        Ok(())
    }

    /// A frame in transit over a slow link counts as activity.
    fn time_passed(&mut self, now_ms: u64) {
        let moved = self.transport.bytes_transferred();
        if moved != self.moved {
            self.moved = moved;
            self.session.on_activity(now_ms);
        }
        self.session.handle_timeout(now_ms);
    }

    /// Decodes a frame and charges it to the rate limits of the account.
    fn read(&mut self, bytes: Bytes) -> Result<DeviceFrame, Malformed> {
        if let Some(member) = self.session.member() {
            let (now_ms, size) = (self.relay.inner.clock.uptime_ms(), bytes.len() as u64);
            let pause = self
                .relay
                .inner
                .rate_limiter
                .charge(member.account, 1, size, now_ms);
            self.paused_until = (!pause.is_zero()).then(|| Instant::now() + pause);
        }
        frame::from_device(bytes)
    }

    fn received(
        &mut self,
        received: Result<Bytes, TransportError>,
    ) -> Result<(), ConnectionClosed> {
        let refusal = match received {
            Ok(bytes) => match self.read(bytes) {
                Ok(frame) => {
                    self.session
                        .handle_frame(frame, self.relay.inner.clock.uptime_ms());
                    return Ok(());
                }
                Err(malformed) => Refusal::new(Code::Malformed, malformed.to_string()),
            },
            Err(TransportError::TooLarge) => {
                let most = self.relay.inner.session_config.limits.frame_bytes_max;
                Refusal::new(
                    Code::FrameTooLarge,
                    format!("the frame exceeds the limit of {most} bytes"),
                )
            }
            Err(TransportError::TooSlow) => Refusal::new(
                Code::Timeout,
                "a large frame arrived too slowly while others waited for memory; retry later",
            ),
            Err(TransportError::NotBinary) => {
                Refusal::new(Code::Malformed, "frames are binary messages, not text")
            }
            Err(TransportError::Disconnected(_)) => return Err(ConnectionClosed),
        };
        self.session.refuse(refusal);
        Ok(())
    }
}

/// Cancel safe, as the future that it awaits.
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
