//! The WebSocket opening handshake (RFC 6455, section 4.2).

use std::sync::Arc;

use data_encoding::BASE64;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::sync::OwnedSemaphorePermit;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use warp::http::header::{
    CONNECTION, HeaderMap, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use warp::http::{Method, StatusCode};
use warp::reply::{Reply, Response, with_header};

use super::ServerState;
use super::response::{not_allowed, overloaded, text};
use crate::net::admission::ConnectionGuard;
use crate::net::ws::transport::WsTransport;
use crate::observe::RejectReason;

const VERSION: &str = "13";

/// Responds to an upgrade request and spawns the session.
pub(super) fn upgrade(
    state: &Arc<ServerState>,
    method: &Method,
    headers: &HeaderMap,
    on_upgrade: Option<OnUpgrade>,
    guard: Arc<ConnectionGuard>,
) -> Response {
    if method != Method::GET {
        return not_allowed("GET");
    }
    let Some(on_upgrade) = on_upgrade.filter(|_| asks_for_websocket(headers)) else {
        return upgrade_required(
            "Upgrade required: this endpoint speaks WebSocket; connect with a Graceful Relay client.",
        );
    };
    if headers
        .get(SEC_WEBSOCKET_VERSION)
        .is_none_or(|version| version != VERSION)
    {
        return upgrade_required(
            "Upgrade required: this relay speaks WebSocket version 13 (RFC 6455).",
        );
    }
    let Some(accept) = accept_key(headers) else {
        return text(
            StatusCode::BAD_REQUEST,
            "Bad request: the header Sec-WebSocket-Key is missing or invalid.",
        );
    };
    if state.draining.is_cancelled() {
        state.metrics.record_rejection(RejectReason::Draining);
        return overloaded("The relay is shutting down.");
    }
    let Ok(slot) = state.session_slots.clone().try_acquire_owned() else {
        state.metrics.record_rejection(RejectReason::Sessions);
        return overloaded("The relay is at capacity.");
    };
    state.spawn_session(converse(state.clone(), on_upgrade, guard, slot));
    let response = with_header(StatusCode::SWITCHING_PROTOCOLS, CONNECTION, "upgrade");
    let response = with_header(response, UPGRADE, "websocket");
    with_header(response, SEC_WEBSOCKET_ACCEPT, accept).into_response()
}

/// The session, in its own task: it outlives the request.
async fn converse(
    state: Arc<ServerState>,
    on_upgrade: OnUpgrade,
    guard: Arc<ConnectionGuard>,
    slot: OwnedSemaphorePermit,
) {
    tokio::select! {
        () = guard.evicted() => {
            state.metrics.record_rejection(RejectReason::Evicted);
            tracing::debug!("connection evicted");
        }
        () = talk(&state, on_upgrade, &guard) => {}
    }
    drop(slot);
}

async fn talk(state: &ServerState, on_upgrade: OnUpgrade, guard: &Arc<ConnectionGuard>) {
    // Boxed: the task of a session lasts for days and is as large as its largest step.
    let Some(mut socket) = Box::pin(take_over(state, on_upgrade, guard)).await else {
        tracing::debug!("peer left during the WebSocket handshake");
        return;
    };
    state
        .relay
        .run_session(&mut socket, guard.drain_token())
        .await;
    Box::pin(socket.finish()).await;
}

/// Waits until the peer has read the response.
async fn take_over(
    state: &ServerState,
    on_upgrade: OnUpgrade,
    guard: &Arc<ConnectionGuard>,
) -> Option<WsTransport<TokioIo<Upgraded>>> {
    let upgraded = tokio::time::timeout(state.options.write_timeout, on_upgrade)
        .await
        .ok()?
        .ok()?;
    let socket = WsTransport::new(
        TokioIo::new(upgraded),
        state.options.frame_bytes_max,
        state.options.close_timeout,
        state.budget.clone(),
    );
    Some(socket.with_guard(guard.clone()))
}

fn upgrade_required(why: &str) -> Response {
    let response = with_header(
        text(StatusCode::UPGRADE_REQUIRED, why),
        UPGRADE,
        "websocket",
    );
    let response = with_header(response, CONNECTION, "upgrade");
    with_header(response, SEC_WEBSOCKET_VERSION, VERSION).into_response()
}

fn asks_for_websocket(headers: &HeaderMap) -> bool {
    has_token(headers, &CONNECTION, "upgrade") && has_token(headers, &UPGRADE, "websocket")
}

/// Returns whether a list header contains this token, ignoring case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// Returns Sec-WebSocket-Accept; `None` unless the key is 16 bytes in base64.
fn accept_key(headers: &HeaderMap) -> Option<String> {
    let key = headers.get(SEC_WEBSOCKET_KEY)?.as_bytes();
    let decoded = BASE64.decode(key).ok()?;
    (decoded.len() == 16).then(|| derive_accept_key(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of the task of a session: part of the cost of an idle connection.
    const TASK_BYTES_MAX: usize = 2_500;

    fn size_of_future<A, B, C, D, F: Future>(_: fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn session_task_is_small() {
        let bytes = size_of_future(converse);
        assert!(bytes <= TASK_BYTES_MAX, "{bytes}");
    }
}
