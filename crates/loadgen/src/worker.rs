//! One connection at work: sends what is due, reads what comes, acknowledges what was delivered.

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

/// What all connections of a run share.
pub struct Run {
    /// Moments are counted from here.
    pub begun: Instant,
    /// What is pushed.
    pub payload: Payload,
    /// Pushes in a frame.
    pub batch: u64,
    /// Pushes that the relay has stored.
    pub stored: Stats,
    /// Pushes that another device has received.
    pub delivered: Stats,
    /// Ends all of them.
    pub stop: CancellationToken,
}

/// An envelope that no key opens: of the right form, otherwise chance.
pub struct Payload {
    sealed: Bytes,
    /// Stamps are hidden by this, so that they look like chance too.
    mask: u64,
}

/// One connection with what it has to do.
pub struct Worker {
    conversation: RawConnection,
    run: Arc<Run>,
    /// `None`: only receives.
    schedule: Option<Schedule>,
    /// Wakes it when something is due.
    wake: Arc<Notify>,
}

/// How a worker ended.
pub struct WorkerResult {
    /// To go on with.
    pub conversation: RawConnection,
    /// Pushes that left.
    pub pushed: u64,
    /// Of those, and of those that should have left, how many were never answered.
    pub unanswered: u64,
    /// What went wrong.
    pub trouble: Option<RawError>,
}

impl Payload {
    /// Of at least so many bytes, padded as envelopes are.
    ///
    /// # Panics
    /// If the system has no randomness to give.
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

    /// Bytes of an envelope.
    pub fn bytes(&self) -> usize {
        self.sealed.len()
    }

    /// With the moment for which it is meant.
    pub fn stamped(&self, intended: Duration) -> Bytes {
        let mut sealed = BytesMut::from(&self.sealed[..]);
        let stamp = u64::try_from(intended.as_nanos()).unwrap_or(u64::MAX) ^ self.mask;
        sealed[SALT_START..SALT_START + 8].copy_from_slice(&stamp.to_be_bytes());
        sealed.freeze()
    }

    /// The frame that is due, stamped with the moment for which it was meant.
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

    /// The moment for which a push was meant.
    pub fn intended(&self, sealed: &[u8]) -> Option<Duration> {
        let stamp = sealed.get(SALT_START..SALT_START + 8)?.try_into().ok()?;
        Some(Duration::from_nanos(u64::from_be_bytes(stamp) ^ self.mask))
    }
}

impl Run {
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }
}

impl Worker {
    /// With `schedule`, pushes; without, receives only.
    pub fn new(
        conversation: RawConnection,
        run: Arc<Run>,
        schedule: Option<Schedule>,
        wake: Arc<Notify>,
    ) -> Self {
        Self {
            conversation,
            run,
            schedule,
            wake,
        }
    }

    /// Until all that is due was sent and answered, or it is stopped.
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
            conversation: self.conversation,
            pushed,
            unanswered,
            trouble,
        }
    }

    async fn converse(&mut self) -> Result<(), RawError> {
        let Self {
            conversation,
            run,
            schedule,
            wake,
        } = self;
        let ping_interval_s = conversation
            .greeting
            .limits
            .as_ref()
            .map_or(30, |limits| limits.ping_interval_s);
        let mut heartbeat =
            tokio::time::interval(Duration::from_secs(u64::from(ping_interval_s.max(2)) / 2));
        heartbeat.reset();
        let mut stopped = pin!(run.stop.cancelled());
        let (sender, receiver) = (&mut conversation.sender, &mut conversation.receiver);
        let mut to_send = None;
        loop {
            let due = || {
                Some(
                    run.payload
                        .frame(schedule.as_mut()?.due(run.now())?, run.batch),
                )
            };
            if let Some(frame) = to_send.take().or_else(due) {
                // A relay that does not read while it cannot send must still be read from.
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

/// What a frame means, and the frame to answer with.
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
