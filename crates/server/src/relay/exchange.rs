//! A session without a socket: frames in a request, frames in its response.

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use graceful_protocol::frame::{self, DeviceFrame, RelayFrame};
use graceful_protocol::{Code, Refusal};
use graceful_rules::session::{Output, Session};

use super::pending_ops::{Effect, PendingOps};
use super::{Address, Relay, random, wall_ms};

/// The validity of a nonce in milliseconds.
const NONCE_MS_MAX: u64 = 5 * 60 * 1_000;

/// A stateless nonce: issue time (8 bytes) ‖ random (8) ‖ MAC (16).
pub(super) struct NonceKey([u8; 32]);

impl NonceKey {
    pub(super) fn fresh() -> Self {
        Self(random())
    }

    fn issue(&self, now_ms: u64) -> [u8; 32] {
        let mut nonce = [0; 32];
        nonce[..8].copy_from_slice(&now_ms.to_be_bytes());
        nonce[8..16].copy_from_slice(&random::<8>());
        let mac = self.mac(&nonce[..16]).finalize().into_bytes();
        nonce[16..].copy_from_slice(&mac[..16]);
        nonce
    }

    /// Returns the nonce if this relay issued it and it is still valid.
    fn check(&self, nonce: &[u8], now_ms: u64) -> Option<[u8; 32]> {
        let nonce: [u8; 32] = nonce.try_into().ok()?;
        let (issued, rest) = nonce.split_first_chunk::<8>()?;
        self.mac(&nonce[..16])
            .verify_truncated_left(&rest[8..])
            .ok()?;
        let age_ms = now_ms.checked_sub(u64::from_be_bytes(*issued))?;
        (age_ms <= NONCE_MS_MAX).then_some(nonce)
    }

    fn mac(&self, message: &[u8]) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(message);
        mac
    }
}

impl Relay {
    /// Returns the greeting of an exchange as one frame.
    pub fn greeting(&self) -> Bytes {
        let now_ms = self.inner.clock.uptime_ms();
        let nonce = self.inner.nonce_key.issue(now_ms);
        let mut session = Session::new(self.inner.session_config.clone(), nonce, wall_ms(), now_ms);
        match session.poll_output() {
            Some(Output::Send(greeting)) => frame::relay_bytes(greeting),
            _ => unreachable!("a session begins with a greeting"),
        }
    }

    /// Returns the nonce if this relay issued it recently.
    ///
    /// # Errors
    /// A [`Refusal`] otherwise.
    pub fn check_nonce(&self, nonce: &[u8]) -> Result<[u8; 32], Refusal> {
        self.inner
            .nonce_key
            .check(nonce, self.inner.clock.uptime_ms())
            .ok_or_else(|| {
                let text = "unknown or expired nonce; fetch another greeting";
                Refusal::new(Code::Timeout, text).retry_after_ms(1)
            })
    }

    /// Processes the frames of one exchange and returns the responses, with one delivery window.
    ///
    /// # Errors
    /// A [`Refusal`] if nothing was done; later refusals are among the responses.
    pub async fn exchange(
        &self,
        nonce: &[u8],
        frames: Vec<Bytes>,
        from: Option<Address>,
    ) -> Result<Vec<Bytes>, Refusal> {
        let now_ms = self.inner.clock.uptime_ms();
        let nonce = self.check_nonce(nonce)?;
        let session = Session::resume(self.inner.exchange_config.clone(), nonce, now_ms);
        let session_id = self
            .inner
            .next_session_id
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let ops = PendingOps::new(self.clone(), session_id, from);
        let answers = talk(session, ops, frames, now_ms)
            .await
            .map_err(|super::Stopped| {
                Refusal::new(Code::Restarting, "the relay is restarting").retry_after_ms(1_000)
            })?;
        match answers.as_slice() {
            [RelayFrame::Refusal(refusal)] => Err(refusal.clone().into()),
            _ => Ok(answers.into_iter().map(frame::relay_bytes).collect()),
        }
    }
}

/// Decodes a frame that is valid in an exchange: rendezvous and recovery need a socket.
fn read(bytes: Bytes) -> Result<DeviceFrame, Refusal> {
    let malformed = |error: frame::Malformed| Refusal::new(Code::Malformed, error.to_string());
    match frame::from_device(bytes).map_err(malformed)? {
        DeviceFrame::OpenRendezvous(_)
        | DeviceFrame::JoinRendezvous(_)
        | DeviceFrame::RendezvousReply(_) => Err(Refusal::new(
            Code::UnexpectedFrame,
            "a rendezvous needs the socket",
        )),
        DeviceFrame::RecoverAccount(_) => Err(Refusal::new(
            Code::UnexpectedFrame,
            "a recovery needs the socket",
        )),
        frame => Ok(frame),
    }
}

async fn talk(
    mut session: Session,
    mut ops: PendingOps,
    frames: Vec<Bytes>,
    now_ms: u64,
) -> Result<Vec<RelayFrame>, super::Stopped> {
    let mut answers = Vec::new();
    let mut frames = frames.into_iter().peekable();
    loop {
        while let Some(doing) = ops.next_effect(&mut session).await? {
            match doing {
                Effect::Send(frame) => answers.push(frame),
                Effect::Close { .. } => return Ok(answers),
            }
        }
        if session.wants_frames()
            && let Some(frame) = frames.next()
        {
            // One frame at a time, and none before authentication: a decoded frame takes many times
            // its size.
            if let Some(refusal) = ops.check_rate(&session, frame.len() as u64) {
                session.refuse(refusal);
                continue;
            }
            match read(frame) {
                Ok(frame) => session.handle_frame(frame, now_ms),
                Err(refusal) => session.refuse(refusal),
            }
        } else if frames.peek().is_none() && session.is_idle() {
            return Ok(answers);
        } else {
            let result = ops.next_result().await;
            ops.apply(result, &mut session)?;
        }
    }
}
