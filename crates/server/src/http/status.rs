//! `/status`: the state of the relay as JSON for operators, without accounts, devices or addresses.

use serde_json::{Value, json};
use warp::http::header::HeaderMap;
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::ServerState;
use super::bearer_token::refused;
use super::response::{body, not_allowed, not_found, text};

const JSON: &str = "application/json";

/// Responds with the status if the request presents the token. Without a token in the
/// configuration: 404.
pub(super) async fn status(state: &ServerState, method: &Method, headers: &HeaderMap) -> Response {
    let reloadable = state.reloadable.current();
    let Some(token) = &reloadable.status_token else {
        return not_found();
    };
    if let Some(refused) = refused(Some(token), headers) {
        return refused;
    }
    match *method {
        Method::GET | Method::HEAD => match picture(state).await {
            Ok(picture) => body(StatusCode::OK, JSON, format!("{picture}\n")),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error),
        },
        _ => not_allowed("GET, HEAD"),
    }
}

async fn picture(state: &ServerState) -> Result<Value, String> {
    let stats = state
        .relay
        .stats()
        .await
        .map_err(|error| error.to_string())?;
    let metrics = state.relay.metrics();
    let reasons = state.relay.check_readiness().await;
    let codes: Vec<_> = reasons.iter().map(|reason| reason.code()).collect();
    let canary = state.relay.canary().last_result();
    let mut picture = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_s": metrics.uptime().as_secs(),
        "ready": reasons.is_empty(),
        "not_ready_reasons": codes,
        "not_ready_message": state.relay.not_ready_message(&reasons),
        "connections": state.admission.count(),
        "sessions": state.relay.connections(),
        "commit_queue_length": metrics.commit_queue_length(),
        "accounts": stats.accounts,
        "envelopes": stats.envelopes,
        "oldest_envelope_s": stats.oldest_envelope_s,
        "store_bytes": stats.store_bytes,
        "disk_free_bytes": stats.disk_free_bytes,
        "disk_free_bytes_min": stats.disk_free_bytes_min,
        "canary": {
            "last_ok_timestamp_s": canary.last_ok_s,
            "duration_ms": u64::try_from(canary.duration.as_millis()).ok(),
            "error": canary.error,
        },
        "memory_bytes": stats.process.map(|process| process.memory_bytes),
        "cpu_s": stats.process.map(|process| process.cpu_s),
    });
    let tls = state
        .tls
        .as_ref()
        .map(|tls| serde_json::to_value(tls.status()));
    if let (Some(picture), Some(Ok(Value::Object(tls)))) = (picture.as_object_mut(), tls) {
        picture.extend(tls);
    }
    Ok(picture)
}

/// Responds with the version.
pub(super) fn version(method: &Method) -> Response {
    match *method {
        Method::GET | Method::HEAD => {
            let version = json!({ "version": env!("CARGO_PKG_VERSION"), "protocol": graceful_protocol::VERSION });
            body(StatusCode::OK, JSON, format!("{version}\n"))
        }
        _ => not_allowed("GET, HEAD"),
    }
}
