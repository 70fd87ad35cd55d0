//! Whoever is one too many is told so, and when to come again, at little cost.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use warp::http::StatusCode;
use warp::http::header::{CONNECTION, HeaderValue, RETRY_AFTER};
use warp::reply::Response;

use super::Door;
use super::answer::text;
use super::headers::lines;
use graceful_rules::admission::TurnedAway;

/// Told at a time; beyond that connections are closed without a word.
pub(super) const REFUSALS_MAX: usize = 64;
/// How long one may take to hear it.
const HEARING: Duration = Duration::from_secs(1);
/// Bytes of a request that is answered unread. Unread bytes would make a reset of the close, and
/// the reset would overtake the answer.
const UNREAD_BYTES_MAX: u64 = 16 * 1024;

fn status(away: &TurnedAway) -> StatusCode {
    if away.greedy {
        StatusCode::TOO_MANY_REQUESTS
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

fn retry_after_s(away: &TurnedAway) -> u64 {
    away.retry_after_ms.div_ceil(1_000).max(1)
}

fn sentence(away: &TurnedAway) -> String {
    format!("{} Try again in {} seconds.", away.why, retry_after_s(away))
}

/// The answer to a request.
pub(super) fn turned_away(away: &TurnedAway) -> Response {
    let mut response = text(status(away), &sentence(away));
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from(retry_after_s(away)));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

impl Door {
    /// Answers a plain connection before it has asked. One that would speak TLS first is to be
    /// dropped instead.
    pub(super) fn turn_away(self: &Arc<Self>, stream: TcpStream, away: TurnedAway) {
        tracing::debug!(why = away.why, "a connection was turned away");
        let Ok(slot) = self.refusals.clone().try_acquire_owned() else {
            return;
        };
        self.spawn(async move {
            // Who does not listen has missed it.
            let _ = tokio::time::timeout(HEARING, tell(stream, &away)).await;
            drop(slot);
        });
    }
}

async fn tell(mut stream: TcpStream, away: &TurnedAway) -> std::io::Result<()> {
    let (status, sentence) = (status(away), sentence(away));
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         {}Retry-After: {}\r\nConnection: close\r\n\r\n{sentence}\n",
        sentence.len() + 1,
        lines(),
        retry_after_s(away),
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(UNREAD_BYTES_MAX), &mut tokio::io::sink()).await?;
    Ok(())
}
