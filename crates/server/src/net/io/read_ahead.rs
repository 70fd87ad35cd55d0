//! A stream that reads in large chunks under load.
//!
//! TLS reads 4 KiB at a time. After a full read more is likely there, so the next read is a large
//! one. The buffer is released as soon as it is drained.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

/// The size of a large read.
const PIECE_BYTES: usize = 64 * 1024;

pub(crate) struct ReadAhead<S> {
    stream: S,
    ahead: BytesMut,
    /// Whether the last read filled the buffer.
    much: bool,
}

impl<S> ReadAhead<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            ahead: BytesMut::new(),
            much: false,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.ahead.is_empty() && !this.much {
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
            this.much = buffer.remaining() == 0;
            return Poll::Ready(Ok(()));
        }
        if this.ahead.is_empty() {
            this.ahead.reserve(PIECE_BYTES);
            let read = poll_read_buf(Pin::new(&mut this.stream), context, &mut this.ahead);
            if !matches!(read, Poll::Ready(Ok(1..))) {
                (this.ahead, this.much) = (BytesMut::new(), false);
            }
            ready!(read)?;
        }
        let count = this.ahead.len().min(buffer.remaining());
        buffer.put_slice(&this.ahead[..count]);
        this.ahead.advance(count);
        if this.ahead.is_empty() {
            this.ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test]
    async fn much_is_read_ahead_and_nothing_is_kept_of_it() {
        let (near, mut far) = duplex(256 * 1024);
        let sent: Vec<u8> = (0..200_000_u32).map(|at| at.to_le_bytes()[0]).collect();
        far.write_all(&sent).await.expect("room");
        let mut stream = ReadAhead::new(near);
        let mut came = vec![0; 4_096];
        stream.read_exact(&mut came).await.expect("there");
        assert_eq!(stream.ahead.capacity(), 0);
        let mut rest = vec![0; sent.len() - came.len()];
        stream.read_exact(&mut rest[..4_096]).await.expect("there");
        assert!(stream.ahead.len() > 4_096);
        stream.read_exact(&mut rest[4_096..]).await.expect("there");
        came.extend(rest);
        assert!(came == sent);
        assert_eq!(stream.ahead.capacity(), 0);
    }
}
