//! Whether new devices should be sent here: asked by whatever stands in front of several relays, and
//! by whoever restarts this one.

use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::ServerState;
use super::response::{not_allowed, overloaded, text};
use super::tls::wall_s;

/// 200 while a device that comes can push and is told `Stored`; 503 and the reason otherwise.
pub(super) async fn ready(state: &ServerState, method: &Method) -> Response {
    match *method {
        Method::GET | Method::HEAD => match not_ready_message(state).await {
            Some(why) => overloaded(&why),
            None => text(StatusCode::OK, "ready"),
        },
        _ => not_allowed("GET, HEAD"),
    }
}

/// A sentence for anybody; `None` where all is well.
pub(super) async fn not_ready_message(state: &ServerState) -> Option<String> {
    if state.draining.is_cancelled() {
        return Some("This relay is about to restart.".to_owned());
    }
    let Ok(stats) = state.relay.stats().await else {
        return Some("This relay's store has failed.".to_owned());
    };
    if stats.low_disk_space {
        return Some("This relay's disk is nearly full: nothing new is kept.".to_owned());
    }
    if let Some(tls) = &state.tls {
        match tls.status().certificate_expires_s {
            None => return Some("This relay has no certificate yet.".to_owned()),
            Some(expires_s) if expires_s <= wall_s() => {
                return Some("This relay's certificate has expired.".to_owned());
            }
            Some(_) => {}
        }
    }
    let trouble = state.relay.canary().last_result().trouble?;
    Some(format!("This relay's trial of itself failed: {trouble}."))
}
