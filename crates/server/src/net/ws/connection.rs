//! A WebSocket connection (RFC 6455, section 5) without extensions and without a buffer between
//! messages.
//!
//! tungstenite parses frame headers, but its reader keeps a buffer for the life of the connection,
//! which never shrinks. Here memory is held only while a message is in transit.

use std::io::{self, Cursor};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::buf::Chain;
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame, FrameHeader};
use tokio_util::io::{poll_read_buf, poll_write_buf};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::net::io::memory_budget::{MemoryBudget, Reservation, UNRESERVED_BYTES_MAX};

/// Read at once before a frame has started: on the stack, so that an idle connection has no buffer.
const SCRATCH_BYTES: usize = 4 * 1024;
/// Bytes of a control frame (RFC 6455, section 5.5).
const CONTROL_BYTES_MAX: usize = 125;

/// The error that ends reading.
#[derive(Debug)]
pub(crate) enum WsError {
    /// The message exceeds the limit.
    TooLarge,
    /// A large message arrived slowly while others waited for its memory.
    TooSlow,
    /// The peer violated RFC 6455.
    Protocol(&'static str),
    /// The connection ended without a close frame.
    Io(io::Error),
}

/// A received message or control frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// A binary message.
    Binary(Bytes),
    /// A text message, whose content is not read.
    Text,
    /// A ping or pong. The pong is sent while reading on.
    Control,
    /// The close frame of the peer. The response is sent while reading on.
    Close,
}

/// A message whose last fragment has not arrived.
struct FragmentedMessage {
    binary: bool,
    bytes: BytesMut,
}

/// The reservation of a large message.
enum Large {
    /// Reading waits for the reservation.
    Waiting(Pin<Box<dyn Future<Output = Reservation> + Send>>),
    Reserved(Reservation, Pin<Box<WaitForCancellationFutureOwned>>),
}

/// One connection.
pub(crate) struct WsConnection<S> {
    stream: S,
    /// Received and not parsed yet. Empty while idle.
    input: BytesMut,
    head: Option<(FrameHeader, usize)>,
    fragments: Option<Box<FragmentedMessage>>,
    large: Option<Box<Large>>,
    budget: MemoryBudget,
    is_authenticated: bool,
    /// The header and the payload that are being sent.
    output: Chain<Bytes, Bytes>,
    /// The response to the newest ping or to a close.
    pending_control: Option<Frame>,
    unflushed: bool,
    close_received: bool,
    close_sent: bool,
    bytes_max: usize,
    /// Bytes received and sent.
    moved: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WsConnection<S> {
    /// Messages have at most `bytes_max` bytes; large ones need a reservation.
    pub(crate) fn new(stream: S, bytes_max: usize, budget: MemoryBudget) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            head: None,
            fragments: None,
            large: None,
            budget,
            is_authenticated: false,
            output: Bytes::new().chain(Bytes::new()),
            pending_control: None,
            unflushed: false,
            close_received: false,
            close_sent: false,
            bytes_max,
            moved: 0,
        }
    }

    /// Returns the bytes received and sent so far, incomplete frames included.
    pub(crate) fn bytes_transferred(&self) -> u64 {
        self.moved
    }

    /// Marks the peer as authenticated.
    pub(crate) fn mark_authenticated(&mut self) {
        self.is_authenticated = true;
    }

    pub(crate) fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Returns the next message or control frame; `None` once closed. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Result<Incoming, WsError>> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// Sends a binary message.
    pub(crate) async fn send(&mut self, payload: Bytes) -> io::Result<()> {
        std::future::poll_fn(|context| self.poll_flush(context)).await?;
        self.put(
            FrameHeader {
                opcode: OpCode::Data(Data::Binary),
                ..FrameHeader::default()
            },
            payload,
        );
        std::future::poll_fn(|context| self.poll_flush(context)).await
    }

    /// Sends a close frame, the last frame.
    pub(crate) async fn close(&mut self, frame: CloseFrame) -> io::Result<()> {
        if !self.close_sent {
            self.pending_control = Some(Frame::close(Some(frame)));
        }
        std::future::poll_fn(|context| self.poll_flush(context)).await
    }

    fn put(&mut self, header: FrameHeader, payload: Bytes) {
        let length = payload.len() as u64;
        let mut head = Vec::with_capacity(header.len(length));
        header.format(length, &mut head).expect("memory takes all");
        self.output = Bytes::from(head).chain(payload);
        self.unflushed = true;
    }

    /// Completes when everything is sent.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while self.output.has_remaining() {
                let went = ready!(poll_write_buf(
                    Pin::new(&mut self.stream),
                    context,
                    &mut self.output
                ))?;
                self.moved += went as u64;
                if went == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
            }
            match self.pending_control.take() {
                Some(answer) if !self.close_sent => {
                    self.close_sent = answer.header().opcode == OpCode::Control(Control::Close);
                    self.put(answer.header().clone(), answer.into_payload());
                }
                _ => break,
            }
        }
        self.output = Bytes::new().chain(Bytes::new());
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Incoming, WsError>>> {
        // A peer that reads nothing may still send: only its responses wait.
        let flushed = match self.unflushed || self.pending_control.is_some() {
            true => self.poll_flush(context),
            false => Poll::Ready(Ok(())),
        };
        match flushed {
            Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(WsError::Io(error)))),
            Poll::Ready(Ok(())) if self.close_received => return Poll::Ready(None),
            Poll::Pending if self.close_received => return Poll::Pending,
            _ => {}
        }
        loop {
            match self.take_frame() {
                Ok(Some((header, payload))) => match self.accept(&header, payload) {
                    Ok(Some(incoming)) => return Poll::Ready(Some(Ok(incoming))),
                    Ok(None) => continue,
                    Err(trouble) => return Poll::Ready(Some(Err(trouble))),
                },
                Ok(None) => {}
                Err(trouble) => return Poll::Ready(Some(Err(trouble))),
            }
            match ready!(self.poll_reservation(context)) {
                Ok(true) => continue,
                Ok(false) => {}
                Err(trouble) => return Poll::Ready(Some(Err(trouble))),
            }
            let trouble = match ready!(self.poll_input(context)) {
                Ok(0) => io::ErrorKind::UnexpectedEof.into(),
                Ok(came) => {
                    self.moved += came as u64;
                    continue;
                }
                Err(error) => error,
            };
            return Poll::Ready(Some(Err(WsError::Io(trouble))));
        }
    }

    /// Waits for the reservation of a large message. `true` if it was just granted, an error if it
    /// was cancelled.
    fn poll_reservation(&mut self, context: &mut Context<'_>) -> Poll<Result<bool, WsError>> {
        match self.large.as_deref_mut() {
            None => Poll::Ready(Ok(false)),
            Some(Large::Waiting(turn)) => {
                let part = ready!(turn.as_mut().poll(context));
                let cut = Box::pin(part.cut().cancelled_owned());
                self.large = Some(Box::new(Large::Reserved(part, cut)));
                Poll::Ready(Ok(true))
            }
            Some(Large::Reserved(_, cut)) => match cut.as_mut().poll(context) {
                Poll::Ready(()) => {
                    // At once, before the close handshake.
                    (self.large, self.input, self.fragments) = (None, BytesMut::new(), None);
                    Poll::Ready(Err(WsError::TooSlow))
                }
                Poll::Pending => Poll::Ready(Ok(false)),
            },
        }
    }

    /// Called once the header is known. A fragmented message may grow up to the limit.
    fn request_reservation(&mut self, header: &FrameHeader, length: usize) {
        let OpCode::Data(kind) = header.opcode else {
            return;
        };
        let before = self
            .fragments
            .as_ref()
            .map_or(0, |fragments| fragments.bytes.len());
        if self.large.is_some() || before + length <= UNRESERVED_BYTES_MAX {
            return;
        }
        let whole = header.is_final && kind != Data::Continue;
        let bytes = if whole { length } else { self.bytes_max };
        self.large = Some(Box::new(Large::Waiting(Box::pin(
            self.budget.reserve(self.is_authenticated, bytes),
        ))));
    }

    /// Reads on: the rest of a frame directly into its final place.
    fn poll_input(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let Some((_, length)) = &self.head {
            self.input.reserve(length.saturating_sub(self.input.len()));
            return poll_read_buf(Pin::new(&mut self.stream), context, &mut self.input);
        }
        let mut scratch = [0; SCRATCH_BYTES];
        let mut came = ReadBuf::new(&mut scratch);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut came))?;
        self.input.extend_from_slice(came.filled());
        Poll::Ready(Ok(came.filled().len()))
    }

    /// Returns a complete frame, unmasked. The remaining input keeps no memory of it.
    fn take_frame(&mut self) -> Result<Option<(FrameHeader, Bytes)>, WsError> {
        if self.head.is_none() {
            let mut cursor = Cursor::new(&self.input[..]);
            let parsed = FrameHeader::parse(&mut cursor)
                .map_err(|_| WsError::Protocol("an invalid frame header"))?;
            let Some((header, length)) = parsed else {
                return Ok(None);
            };
            let length = usize::try_from(length).map_err(|_| WsError::TooLarge)?;
            let head_bytes = usize::try_from(cursor.position()).map_err(|_| WsError::TooLarge)?;
            self.validate_header(&header, length)?;
            self.input.advance(head_bytes);
            self.request_reservation(&header, length);
            self.head = Some((header, length));
        }
        let Some((mut header, length)) = self.head.take() else {
            return Ok(None);
        };
        if self.input.len() < length || matches!(self.large.as_deref(), Some(Large::Waiting(_))) {
            self.head = Some((header, length));
            return Ok(None);
        }
        let mut payload = self.input.split_to(length);
        // Otherwise both would share one allocation for the life of the connection.
        self.input = if self.input.is_empty() {
            BytesMut::new()
        } else {
            BytesMut::from(&self.input[..])
        };
        unmask(&mut payload, header.mask.take().unwrap_or_default());
        Ok(Some((header, payload.freeze())))
    }

    /// Validates a header before memory is allocated for the frame.
    fn validate_header(&self, header: &FrameHeader, length: usize) -> Result<(), WsError> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(WsError::Protocol("a reserved bit"));
        }
        match header.opcode {
            OpCode::Control(Control::Reserved(_)) | OpCode::Data(Data::Reserved(_)) => {
                Err(WsError::Protocol("a reserved kind of frame"))
            }
            OpCode::Control(_) if !header.is_final || length > CONTROL_BYTES_MAX => Err(
                WsError::Protocol("a control frame that is too long or fragmented"),
            ),
            _ if header.mask.is_none() => Err(WsError::Protocol("a frame without a mask")),
            OpCode::Control(_) => Ok(()),
            OpCode::Data(kind) => {
                let before = self
                    .fragments
                    .as_ref()
                    .map(|fragments| fragments.bytes.len());
                match (kind == Data::Continue, before) {
                    (true, None) => Err(WsError::Protocol("a continuation without a message")),
                    (false, Some(_)) => Err(WsError::Protocol("a message within a message")),
                    (_, before) if length > self.bytes_max - before.unwrap_or(0) => {
                        Err(WsError::TooLarge)
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    fn accept(
        &mut self,
        header: &FrameHeader,
        payload: Bytes,
    ) -> Result<Option<Incoming>, WsError> {
        match header.opcode {
            OpCode::Control(Control::Ping) => self.pending_control = Some(Frame::pong(payload)),
            OpCode::Control(Control::Close) => return self.accept_close(payload).map(Some),
            OpCode::Control(_) => {}
            OpCode::Data(kind) => return Ok(self.push_fragment(kind, header.is_final, payload)),
        }
        Ok(Some(Incoming::Control))
    }

    fn push_fragment(&mut self, kind: Data, last: bool, payload: Bytes) -> Option<Incoming> {
        let (binary, bytes) = match self.fragments.take() {
            None if last => (kind == Data::Binary, payload),
            None => {
                let bytes = BytesMut::from(&payload[..]);
                self.fragments = Some(Box::new(FragmentedMessage {
                    binary: kind == Data::Binary,
                    bytes,
                }));
                return None;
            }
            Some(mut fragments) => {
                fragments.bytes.extend_from_slice(&payload);
                if !last {
                    self.fragments = Some(fragments);
                    return None;
                }
                (fragments.binary, fragments.bytes.freeze())
            }
        };
        let bytes = match self.large.take().map(|large| *large) {
            Some(Large::Reserved(part, _)) => part.into_bytes(bytes),
            _ => bytes,
        };
        Some(if binary {
            Incoming::Binary(bytes)
        } else {
            Incoming::Text
        })
    }

    /// The response repeats the code if it may be sent.
    fn accept_close(&mut self, payload: Bytes) -> Result<Incoming, WsError> {
        let frame = match payload.len() {
            0 => None,
            1 => return Err(WsError::Protocol("a close frame of one byte")),
            _ => {
                let code = CloseCode::from(u16::from_be_bytes([payload[0], payload[1]]));
                let sound = code.is_allowed() && std::str::from_utf8(&payload[2..]).is_ok();
                let code = if sound { code } else { CloseCode::Protocol };
                Some(CloseFrame {
                    code,
                    reason: "".into(),
                })
            }
        };
        self.close_received = true;
        if !self.close_sent {
            self.pending_control = Some(Frame::close(frame));
        }
        Ok(Incoming::Close)
    }
}

/// RFC 6455, section 5.3: eight bytes at a time.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut chunks = payload.chunks_exact_mut(8);
    for chunk in &mut chunks {
        for (byte, mask) in chunk.iter_mut().zip(wide.to_ne_bytes()) {
            *byte ^= mask;
        }
    }
    for (byte, mask) in chunks.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::io::{AsyncWriteExt, duplex};

    /// For steps that complete at once unless the test fails.
    async fn soon<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(20), future)
            .await
            .expect("in time")
    }

    fn budget() -> MemoryBudget {
        MemoryBudget::new(16 << 20)
    }

    /// A masked frame, as clients send it.
    fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut bytes = vec![opcode];
        match payload.len() {
            small @ 0..126 => bytes.push(0x80 | u8::try_from(small).expect("small")),
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend((payload.len() as u64).to_be_bytes());
            }
        }
        bytes.extend(mask);
        bytes.extend(
            payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        bytes
    }

    async fn seen(
        bytes: &[u8],
        bytes_max: usize,
    ) -> (
        Result<Incoming, WsError>,
        WsConnection<tokio::io::DuplexStream>,
    ) {
        let (near, mut far) = duplex(4 << 20);
        far.write_all(bytes).await.expect("room");
        let mut frames = WsConnection::new(near, bytes_max, budget());
        let incoming = frames.next().await.expect("something came");
        drop(far);
        (incoming, frames)
    }

    #[tokio::test]
    async fn a_large_message_leaves_no_memory_behind() {
        let large = vec![7; 1 << 20];
        let (incoming, frames) = seen(&masked(0x82, &large), 1 << 20).await;
        assert_eq!(incoming.expect("a message"), Incoming::Binary(large.into()));
        assert_eq!(frames.input.capacity(), 0);
    }

    #[tokio::test]
    async fn what_follows_a_large_message_does_not_hold_it() {
        let mut bytes = masked(0x82, &[7; 4_000]);
        bytes.extend(&masked(0x82, b"next")[..3]);
        let (incoming, frames) = seen(&bytes, 4_096).await;
        assert!(incoming.is_ok());
        assert!(frames.input.capacity() < 64, "{}", frames.input.capacity());
    }

    #[tokio::test]
    async fn sent_message_buffer_is_released() {
        let (near, _far) = duplex(2 << 20);
        let mut frames = WsConnection::new(near, 64, budget());
        let payload = Bytes::from(vec![7; 1 << 20]);
        frames.send(payload.clone()).await.expect("room");
        assert!(payload.is_unique());
    }

    #[tokio::test]
    async fn what_breaks_the_protocol_is_told_by_its_head() {
        for head in [
            &[0xc2, 0x80][..],
            &[0x83, 0x80],
            &[0x8b, 0x80],
            &[0x09, 0x80],
            &[0x80, 0x80],
            &[0x82, 1],
        ] {
            let mut bytes = head.to_vec();
            bytes.extend([0; 4]);
            let (incoming, _) = seen(&bytes, 64).await;
            assert!(
                matches!(incoming, Err(WsError::Protocol(_))),
                "{head:?}: {incoming:?}"
            );
        }
        let (incoming, _) = seen(
            &[
                0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0,
            ],
            64,
        )
        .await;
        assert!(matches!(incoming, Err(WsError::TooLarge)));
    }

    #[tokio::test]
    async fn only_the_newest_ping_is_answered_by_a_relay_that_nobody_reads() {
        let (near, mut far) = duplex(64);
        let mut frames = WsConnection::new(near, 64, budget());
        for count in 0..200_u8 {
            far.write_all(&masked(0x89, &[count]))
                .await
                .expect("the relay reads on");
            assert_eq!(
                frames.next().await.expect("open").expect("a ping"),
                Incoming::Control
            );
        }
        assert!(
            frames
                .pending_control
                .is_some_and(|answer| answer.payload() == [199])
        );
    }

    #[tokio::test]
    async fn a_large_message_waits_for_its_part_and_gives_it_back() {
        let (near, mut far) = duplex(4 << 20);
        let budget = MemoryBudget::new(4 << 20);
        let taken = budget.reserve(true, 3 << 20).await;
        let mut frames = WsConnection::new(near, 1 << 20, budget.clone());
        frames.mark_authenticated();
        far.write_all(&masked(0x82, &vec![7; UNRESERVED_BYTES_MAX + 1]))
            .await
            .expect("room");
        assert!(frames.next().now_or_never().is_none());
        assert!(
            frames.input.capacity() <= SCRATCH_BYTES,
            "{}",
            frames.input.capacity()
        );
        drop(taken);
        let incoming = soon(frames.next()).await.expect("open").expect("a message");
        assert!(budget.reserve(true, 3 << 20).now_or_never().is_none());
        drop(incoming);
        assert!(budget.reserve(true, 3 << 20).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_message_that_grows_large_in_small_parts_waits_too() {
        let (near, mut far) = duplex(4 << 20);
        let budget = MemoryBudget::new(4 << 20);
        let _taken = budget.reserve(true, 3 << 20).await;
        let mut frames = WsConnection::new(near, 1 << 20, budget);
        frames.mark_authenticated();
        far.write_all(&masked(0x02, &[7; 1_000]))
            .await
            .expect("room");
        for _ in 0..100 {
            far.write_all(&masked(0x00, &[7; 1_000]))
                .await
                .expect("room");
        }
        assert!(frames.next().now_or_never().is_none());
        let came = frames
            .fragments
            .as_ref()
            .map_or(0, |fragments| fragments.bytes.len());
        assert!(came <= UNRESERVED_BYTES_MAX, "{came}");
    }

    #[tokio::test]
    async fn a_slow_message_is_cut_while_another_waits() {
        let (near, mut far) = duplex(64);
        let budget = MemoryBudget::with_stall_timeout(4 << 20, Duration::from_millis(1));
        let mut frames = WsConnection::new(near, 3 << 20, budget.clone());
        frames.mark_authenticated();
        let slow = tokio::spawn(async move { frames.next().await });
        let message = masked(0x82, &vec![7; 3 << 20]);
        far.write_all(&message[..100]).await.expect("read");
        let waiting = tokio::spawn(budget.reserve(true, 1 << 20));
        assert!(matches!(
            soon(slow).await.expect("it ends"),
            Some(Err(WsError::TooSlow))
        ));
        soon(waiting).await.expect("it had its turn");
    }
}
