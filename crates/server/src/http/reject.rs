//! Rejections: a short response with a retry time, at little cost.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use warp::http::StatusCode;
use warp::http::header::{CONNECTION, HeaderValue, RETRY_AFTER};
use warp::reply::Response;

use super::ServerState;
use super::headers::lines;
use super::response::text;
use graceful_rules::admission::Rejected;

/// Concurrent rejections; beyond that connections are dropped.
pub(super) const REJECTIONS_MAX: usize = 64;
/// The time to send one.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes of an unread request that are discarded. Unread bytes would reset the connection, and the
/// reset would overtake the response.
const UNREAD_BYTES_MAX: u64 = 16 * 1024;

fn status(rejected: &Rejected) -> StatusCode {
    if rejected.per_address_limit {
        StatusCode::TOO_MANY_REQUESTS
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

fn retry_after_s(rejected: &Rejected) -> u64 {
    rejected.retry_after_ms.div_ceil(1_000).max(1)
}

fn message(rejected: &Rejected) -> String {
    format!(
        "{} Try again in {} seconds.",
        rejected.reason,
        retry_after_s(rejected)
    )
}

/// The response to a request.
pub(super) fn rejection_response(rejected: &Rejected) -> Response {
    let mut response = text(status(rejected), &message(rejected));
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from(retry_after_s(rejected)));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

impl ServerState {
    /// Responds on a plain connection before its request. A connection that would start with TLS
    /// must be dropped instead.
    pub(super) fn reject(self: &Arc<Self>, stream: TcpStream, rejected: Rejected) {
        tracing::debug!(why = rejected.reason, "connection rejected");
        let Ok(slot) = self.rejections.clone().try_acquire_owned() else {
            return;
        };
        self.spawn(async move {
            // Best effort.
            let _ = tokio::time::timeout(SEND_TIMEOUT, send_rejection(stream, &rejected)).await;
            drop(slot);
        });
    }
}

async fn send_rejection(mut stream: TcpStream, rejected: &Rejected) -> std::io::Result<()> {
    let (status, message) = (status(rejected), message(rejected));
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         {}Retry-After: {}\r\nConnection: close\r\n\r\n{message}\n",
        message.len() + 1,
        lines(),
        retry_after_s(rejected),
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(UNREAD_BYTES_MAX), &mut tokio::io::sink()).await?;
    Ok(())
}
