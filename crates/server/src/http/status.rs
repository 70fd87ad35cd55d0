//! What an operator's program is told about the relay: the same numbers as the metrics, without history.
//! No account, no device and no address is among them.

use serde_json::{Value, json};
use warp::http::header::HeaderMap;
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::Door;
use super::answer::{body, not_allowed, not_found, text};
use super::operators::refused;
use super::ready::why_not_ready;

const JSON: &str = "application/json";

/// The status, to who shows the token. Without one in the settings there is nothing here for anybody.
pub(super) async fn status(door: &Door, method: &Method, headers: &HeaderMap) -> Response {
    let live = door.live.now();
    let Some(token) = &live.status_token else {
        return not_found();
    };
    if let Some(refused) = refused(Some(token), headers) {
        return refused;
    }
    match *method {
        Method::GET | Method::HEAD => match picture(door).await {
            Ok(picture) => body(StatusCode::OK, JSON, format!("{picture}\n")),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error),
        },
        _ => not_allowed("GET, HEAD"),
    }
}

async fn picture(door: &Door) -> Result<Value, String> {
    let figures = door
        .relay
        .figures()
        .await
        .map_err(|error| error.to_string())?;
    let metrics = door.relay.metrics();
    let not_ready = why_not_ready(door).await;
    let trial = door.relay.health().trial();
    let mut picture = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_s": metrics.uptime().as_secs(),
        "ready": not_ready.is_none(),
        "not_ready_because": not_ready,
        "draining": door.draining.is_cancelled(),
        "connections": door.doorkeeper.count(),
        "conversations": door.relay.connections(),
        "changes_waiting": metrics.waiting(),
        "accounts": figures.accounts,
        "envelopes": figures.envelopes,
        "oldest_envelope_s": figures.oldest_envelope_s,
        "store_bytes": figures.store_bytes,
        "disk_free_bytes": figures.disk_free_bytes,
        "disk_free_bytes_min": figures.disk_free_bytes_min,
        "trial": { "good_s": trial.good_s, "took_ms": u64::try_from(trial.took.as_millis()).ok(), "trouble": trial.trouble },
        "memory_bytes": figures.process.map(|process| process.memory_bytes),
        "cpu_s": figures.process.map(|process| process.cpu_s),
    });
    let tls = door
        .tls
        .as_ref()
        .map(|tls| serde_json::to_value(tls.status()));
    if let (Some(picture), Some(Ok(Value::Object(tls)))) = (picture.as_object_mut(), tls) {
        picture.extend(tls);
    }
    Ok(picture)
}

/// Which version runs, for anybody: each greeting says it, too.
pub(super) fn version(method: &Method) -> Response {
    match *method {
        Method::GET | Method::HEAD => {
            let version = json!({ "version": env!("CARGO_PKG_VERSION"), "protocol": graceful_protocol::VERSION });
            body(StatusCode::OK, JSON, format!("{version}\n"))
        }
        _ => not_allowed("GET, HEAD"),
    }
}
