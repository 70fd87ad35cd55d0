//! One connection: sends frames that are due, reads frames, acknowledges deliveries.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::schedule::{DueFrame, Schedule};
use super::stats::Stats;
use graceful_protocol::envelope::{self, SALT_START};
use graceful_protocol::frame::{DeviceFrame, RelayFrame, device_bytes};
use graceful_protocol::wire::{Ack, Deliver, Envelope, Ping, Push};
use graceful_raw_client::{RawConnection, RawError};

/// State shared by all connections of a run.
pub struct Run {
    /// Start of the run.
    pub started: Instant,
    /// The envelope to push.
    pub payload: Payload,
    /// Pushes in a frame.
    pub batch: u64,
    /// Stored pushes.
    pub stored: Stats,
    /// Delivered pushes.
    pub delivered: Stats,
    /// Stops all workers.
    pub stop: CancellationToken,
}

/// A well-formed envelope with random content.
pub struct Payload {
    sealed: Bytes,
    /// Masks timestamps, so that they look random.
    mask: u64,
}

/// One connection and its schedule.
pub struct Worker {
    connection: RawConnection,
    run: Arc<Run>,
    /// `None`: only receives.
    schedule: Option<Schedule>,
    /// Notified when a frame is due.
    wake: Arc<Notify>,
}

/// The result of a worker.
pub struct WorkerResult {
    /// The open connection.
    pub connection: RawConnection,
    /// Pushes sent.
    pub pushed: u64,
    /// Scheduled pushes without an answer.
    pub unanswered: u64,
    /// The error, if any.
    pub trouble: Option<RawError>,
}

impl Payload {
    /// A payload of at least this size, padded as an envelope.
    ///
    /// # Panics
    /// If the system provides no randomness.
    pub fn random(bytes: usize) -> Self {
        let mut sealed = vec![0; envelope::padded_size(bytes.max(envelope::SIZE_MIN))];
        let mut mask = [0; 8];
        for part in [&mut sealed[..], &mut mask[..]] {
            getrandom::fill(part).expect("the system gives randomness");
        }
        sealed[0] = envelope::FORM;
        Self {
            sealed: sealed.into(),
            mask: u64::from_be_bytes(mask),
        }
    }

    /// The envelope's size.
    pub fn bytes(&self) -> usize {
        self.sealed.len()
    }

    /// The envelope with its scheduled time.
    pub fn stamped(&self, intended: Duration) -> Bytes {
        let mut sealed = BytesMut::from(&self.sealed[..]);
        let stamp = u64::try_from(intended.as_nanos()).unwrap_or(u64::MAX) ^ self.mask;
        sealed[SALT_START..SALT_START + 8].copy_from_slice(&stamp.to_be_bytes());
        sealed.freeze()
    }

    /// The frame that is due, with its scheduled time.
    pub fn frame(&self, due: DueFrame, batch: u64) -> Bytes {
        let sealed = self.stamped(due.intended);
        let envelopes = (due.first..due.first + batch).map(|push_number| Envelope {
            push_number,
            sealed: sealed.clone(),
            recipient: Bytes::new(),
        });
        device_bytes(DeviceFrame::Push(Push {
            envelopes: envelopes.collect(),
        }))
    }

    /// The scheduled time in an envelope.
    pub fn intended(&self, sealed: &[u8]) -> Option<Duration> {
        let stamp = sealed.get(SALT_START..SALT_START + 8)?.try_into().ok()?;
        Some(Duration::from_nanos(u64::from_be_bytes(stamp) ^ self.mask))
    }
}

impl Run {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Worker {
    /// Pushes with `schedule`; only receives without.
    pub fn new(
        connection: RawConnection,
        run: Arc<Run>,
        schedule: Option<Schedule>,
        wake: Arc<Notify>,
    ) -> Self {
        Self {
            connection,
            run,
            schedule,
            wake,
        }
    }

    /// Runs until the schedule is done and answered, or `stop` is cancelled.
    pub async fn work(mut self) -> WorkerResult {
        let trouble = self.converse().await.err();
        let now = self.run.now();
        let mut unanswered = 0;
        for intended in self
            .schedule
            .iter()
            .flat_map(|schedule| schedule.unanswered(now))
        {
            self.run.stored.not_done(intended, now, self.run.batch);
            unanswered += self.run.batch;
        }
        let pushed = self.schedule.as_ref().map_or(0, Schedule::pushed);
        WorkerResult {
            connection: self.connection,
            pushed,
            unanswered,
            trouble,
        }
    }

    async fn converse(&mut self) -> Result<(), RawError> {
        let Self {
            connection,
            run,
            schedule,
            wake,
        } = self;
        let ping_interval_s = connection
            .greeting
            .limits
            .as_ref()
            .map_or(30, |limits| limits.ping_interval_s);
        let mut heartbeat =
            tokio::time::interval(Duration::from_secs(u64::from(ping_interval_s.max(2)) / 2));
        heartbeat.reset();
        let mut stopped = pin!(run.stop.cancelled());
        let (sender, receiver) = (&mut connection.sender, &mut connection.receiver);
        let mut to_send = None;
        loop {
            let due = || {
                Some(
                    run.payload
                        .frame(schedule.as_mut()?.due(run.now())?, run.batch),
                )
            };
            if let Some(frame) = to_send.take().or_else(due) {
                // Reads while sending: the relay may stop reading until its own writes progress.
                let mut sending = pin!(sender.send(frame));
                loop {
                    tokio::select! {
                        biased;
                        sent = &mut sending => break sent?,
                        frame = receiver.next() => to_send = take(run, schedule.as_mut(), frame?)?.or(to_send),
                        () = &mut stopped => return Ok(()),
                    }
                }
                continue;
            }
            if schedule
                .as_ref()
                .is_some_and(|schedule| schedule.is_done(run.now()))
            {
                return Ok(());
            }
            tokio::select! {
                biased;
                frame = receiver.next() => to_send = take(run, schedule.as_mut(), frame?)?,
                () = wake.notified() => {}
                _ = heartbeat.tick() => to_send = Some(device_bytes(DeviceFrame::Ping(Ping { number: 1 }))),
                () = &mut stopped => return Ok(()),
            }
        }
    }
}

/// Handles a frame, and returns the answer.
fn take(
    run: &Run,
    schedule: Option<&mut Schedule>,
    frame: RelayFrame,
) -> Result<Option<Bytes>, RawError> {
    match frame {
        RelayFrame::Stored(stored) => {
            let now = run.now();
            for intended in schedule
                .into_iter()
                .flat_map(|schedule| schedule.stored(stored.push_number))
            {
                run.stored.done(intended, now, run.batch);
            }
            Ok(None)
        }
        RelayFrame::Deliver(deliver) => Ok(received(run, &deliver)),
        RelayFrame::Refusal(refusal) => Err(RawError::Refused(refusal.into())),
        _ => Ok(None),
    }
}

fn received(run: &Run, deliver: &Deliver) -> Option<Bytes> {
    let now = run.now();
    for envelope in &deliver.envelopes {
        if let Some(intended) = run.payload.intended(&envelope.sealed) {
            run.delivered.done(intended, now, 1);
        }
    }
    (!deliver.envelopes.is_empty()).then(|| {
        device_bytes(DeviceFrame::Ack(Ack {
            through: deliver.through,
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use graceful_protocol::frame::from_device;

    #[test]
    fn a_frame_carries_the_moment_it_was_meant_for() {
        let payload = Payload::random(1024);
        let intended = Duration::from_micros(123_456);
        let frame = payload.frame(
            DueFrame {
                first: 11,
                intended,
            },
            5,
        );
        let Ok(DeviceFrame::Push(push)) = from_device(frame) else {
            panic!("a push")
        };
        let numbers: Vec<_> = push
            .envelopes
            .iter()
            .map(|envelope| envelope.push_number)
            .collect();
        assert_eq!(numbers, [11, 12, 13, 14, 15]);
        for envelope in &push.envelopes {
            assert!(envelope::has_sealed_form(&envelope.sealed));
            assert_eq!(payload.intended(&envelope.sealed), Some(intended));
        }
        assert_eq!(payload.intended(&[1; 4]), None);
    }
}
