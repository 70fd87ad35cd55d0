//! The exchange: frames in a request, frames in its response.

use std::pin::pin;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use data_encoding::BASE64URL_NOPAD;
use futures_util::{Stream, StreamExt};
use tokio::sync::SemaphorePermit;
use warp::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE,
    CONTENT_LENGTH, HeaderMap, RETRY_AFTER,
};
use warp::http::{Method, StatusCode};
use warp::reply::{Reply, Response, with_header};

use super::ServerState;
use super::response::{body, not_allowed};
use crate::net::admission::ConnectionGuard;
use graceful_protocol::frame::{self, RelayFrame};
use graceful_protocol::{Code, Refusal};

/// The header with the nonce of the greeting, base64url.
const NONCE: &str = "graceful-nonce";
/// Retry time when all slots are in use, in milliseconds.
const RETRY_AFTER_MS: u64 = 1_000;
/// Retry time during a restart, in milliseconds.
const RESTART_RETRY_MS: u64 = 5_000;

pub(super) async fn exchange<B: Buf>(
    state: &ServerState,
    method: &Method,
    headers: &HeaderMap,
    guard: &ConnectionGuard,
    body: impl Stream<Item = Result<B, warp::Error>>,
) -> Response {
    match *method {
        Method::GET => frames(StatusCode::OK, &[state.relay.greeting()]),
        Method::POST => match answer(state, headers, guard, body).await {
            Ok(answers) => frames(StatusCode::OK, &answers),
            Err(refusal) => refused(refusal),
        },
        Method::OPTIONS => preflight(),
        _ => not_allowed("GET, POST"),
    }
}

async fn answer<B: Buf>(
    state: &ServerState,
    headers: &HeaderMap,
    guard: &ConnectionGuard,
    body: impl Stream<Item = Result<B, warp::Error>>,
) -> Result<Vec<Bytes>, Refusal> {
    let taken = take(state, headers, body).await;
    // Later refusals are counted by the session.
    let (nonce, frames, _slot) =
        taken.inspect_err(|refusal| state.metrics.record_refusal(refusal.code))?;
    state.relay.exchange(&nonce, frames, guard.address()).await
}

/// Reads a request and acquires a slot.
async fn take<'a, B: Buf>(
    state: &'a ServerState,
    headers: &HeaderMap,
    body: impl Stream<Item = Result<B, warp::Error>>,
) -> Result<(Vec<u8>, Vec<Bytes>, SemaphorePermit<'a>), Refusal> {
    if state.draining.is_cancelled() {
        let refusal = Refusal::new(Code::Restarting, "the relay is restarting");
        return Err(refusal.retry_after_ms(RESTART_RETRY_MS));
    }
    let nonce = nonce(headers)?;
    if declared_length(headers).is_some_and(|length| length > state.options.frame_bytes_max as u64)
    {
        return Err(too_large(state));
    }
    // Before a slot is acquired, so that invented nonces cannot fill them.
    state.relay.check_nonce(&nonce)?;
    let Ok(slot) = state.exchanges.try_acquire() else {
        let refusal = Refusal::new(Code::Overloaded, "relay is busy; retry later");
        return Err(refusal.retry_after_ms(RETRY_AFTER_MS));
    };
    let received = tokio::time::timeout(state.options.body_timeout, collect(state, body));
    let received = received.await.map_err(|_| {
        Refusal::new(Code::Timeout, "the request arrived too slowly").retry_after_ms(1)
    })??;
    let frames =
        frame::split(received).map_err(|error| Refusal::new(Code::Malformed, error.to_string()))?;
    Ok((nonce, frames, slot))
}

fn nonce(headers: &HeaderMap) -> Result<Vec<u8>, Refusal> {
    let nonce = headers
        .get(NONCE)
        .and_then(|nonce| BASE64URL_NOPAD.decode(nonce.as_bytes()).ok());
    nonce.ok_or_else(|| {
        Refusal::new(
            Code::Malformed,
            "the header Graceful-Nonce must hold the greeting's nonce as base64url",
        )
    })
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads the whole body, up to the size of a frame. It grows with the data, not with the announced
/// length.
async fn collect<B: Buf>(
    state: &ServerState,
    body: impl Stream<Item = Result<B, warp::Error>>,
) -> Result<Bytes, Refusal> {
    let mut body = pin!(body);
    let mut collected = BytesMut::new();
    while let Some(part) = body.next().await {
        let part = part.map_err(|_| Refusal::new(Code::Malformed, "the request is incomplete"))?;
        if collected.len() + part.remaining() > state.options.frame_bytes_max {
            return Err(too_large(state));
        }
        collected.put(part);
    }
    Ok(collected.freeze())
}

fn too_large(state: &ServerState) -> Refusal {
    let text = format!(
        "the request exceeds the limit of {} bytes",
        state.options.frame_bytes_max
    );
    Refusal::new(Code::FrameTooLarge, text)
}

fn frames(status: StatusCode, frames: &[Bytes]) -> Response {
    body(
        status,
        "application/octet-stream",
        frame::join(frames).to_vec(),
    )
}

/// A refusal is a frame here too; the HTTP status repeats it for proxies.
fn refused(refusal: Refusal) -> Response {
    let status = status(refusal.code);
    let retry_after_s = refusal.retry_after_ms.div_ceil(1_000);
    let response = frames(
        status,
        &[frame::relay_bytes(RelayFrame::Refusal(refusal.into()))],
    );
    match retry_after_s {
        0 => response,
        seconds => with_header(response, RETRY_AFTER, seconds).into_response(),
    }
}

fn status(code: Code) -> StatusCode {
    match code {
        Code::NotAMember
        | Code::DeviceRemoved
        | Code::RegistrationClosed
        | Code::InviteRequired => StatusCode::FORBIDDEN,
        Code::WrongHost => StatusCode::MISDIRECTED_REQUEST,
        Code::Timeout => StatusCode::REQUEST_TIMEOUT,
        Code::AccountDeleted => StatusCode::GONE,
        Code::FrameTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::Overloaded | Code::Restarting => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// The preflight response that allows a page to send the nonce header.
fn preflight() -> Response {
    let response = with_header(
        StatusCode::NO_CONTENT,
        ACCESS_CONTROL_ALLOW_METHODS,
        "GET, POST",
    );
    let response = with_header(
        response,
        ACCESS_CONTROL_ALLOW_HEADERS,
        "content-type, graceful-nonce",
    );
    with_header(response, ACCESS_CONTROL_MAX_AGE, 86_400).into_response()
}
