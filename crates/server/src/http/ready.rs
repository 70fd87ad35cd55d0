//! Whether new devices should be sent here: asked by whatever stands in front of several relays, and
//! by whoever restarts this one.

use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::Door;
use super::answer::{not_allowed, overloaded, text};
use super::tls::wall_s;

/// 200 while a device that comes can push and is told `Stored`; 503 and the reason otherwise.
pub(super) async fn ready(door: &Door, method: &Method) -> Response {
    match *method {
        Method::GET | Method::HEAD => match why_not_ready(door).await {
            Some(why) => overloaded(&why),
            None => text(StatusCode::OK, "ready"),
        },
        _ => not_allowed("GET, HEAD"),
    }
}

/// A sentence for anybody; `None` where all is well.
pub(super) async fn why_not_ready(door: &Door) -> Option<String> {
    if door.draining.is_cancelled() {
        return Some("This relay is about to restart.".to_owned());
    }
    let Ok(figures) = door.relay.figures().await else {
        return Some("This relay's store has failed.".to_owned());
    };
    if figures.short_of_room {
        return Some("This relay's disk is nearly full: nothing new is kept.".to_owned());
    }
    if let Some(tls) = &door.tls {
        match tls.status().certificate_expires_s {
            None => return Some("This relay has no certificate yet.".to_owned()),
            Some(expires_s) if expires_s <= wall_s() => {
                return Some("This relay's certificate has expired.".to_owned());
            }
            Some(_) => {}
        }
    }
    let trouble = door.relay.health().trial().trouble?;
    Some(format!("This relay's trial of itself failed: {trouble}."))
}
