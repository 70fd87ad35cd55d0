//! A stream that delays reads of an address over its rate. Nothing is refused: unread bytes stay
//! with the sender.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::net::admission::ConnectionGuard;
use crate::observe::Metrics;

pub(crate) struct Throttled<S> {
    stream: S,
    guard: Arc<ConnectionGuard>,
    metrics: Arc<Metrics>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<S> Throttled<S> {
    pub(crate) fn new(stream: S, guard: Arc<ConnectionGuard>, metrics: Arc<Metrics>) -> Self {
        Self {
            stream,
            guard,
            metrics,
            pause: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Throttled<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let came = (buffer.filled().len() - before) as u64;
        self.metrics.received_bytes.inc_by(came);
        self.pause = self
            .guard
            .count_bytes(came)
            .map(|pause| Box::pin(sleep(pause)));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Throttled<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.metrics.sent_bytes.inc_by(written as u64);
        Poll::Ready(Ok(written))
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
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, parts))?;
        self.metrics.sent_bytes.inc_by(written as u64);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Admission;
    use crate::net::admission::AdmissionControl;
    use graceful_rules::rate::RateLimit;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn who_sends_too_much_is_not_read_until_its_time_has_come() {
        let pace = RateLimit {
            count: 1024,
            period_ms: 1_000,
            burst: 64 * 1024,
        };
        let admission = AdmissionControl::new(Admission {
            address_bytes: pace,
            ..Admission::default()
        });
        let guard = admission.admit(Some([192, 0, 2, 1].into())).expect("room");
        let mut stream = Throttled::new(tokio::io::repeat(7), guard, Arc::default());
        let mut bytes = vec![0; 64 * 1024];
        stream.read_exact(&mut bytes).await.expect("the burst");
        stream
            .read_exact(&mut bytes[..32 * 1024])
            .await
            .expect("what takes it over the pace");
        tokio::select! {
            biased;
            _ = stream.read_u8() => panic!("read on"),
            () = tokio::task::yield_now() => {}
        }
        assert!(stream.pause.is_some());
    }
}
