//! Whether new devices should be sent here: asked by whatever stands in front of several relays, and
//! by whoever restarts this one.

use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::Door;
use super::answer::{not_allowed, overloaded, text};

/// 200 while it takes conversations, 503 from the moment it is told to stop.
pub(super) fn ready(door: &Door, method: &Method) -> Response {
    match *method {
        Method::GET | Method::HEAD if door.draining.is_cancelled() => {
            overloaded("This relay is about to restart.")
        }
        Method::GET | Method::HEAD => text(StatusCode::OK, "ready"),
        _ => not_allowed("GET, HEAD"),
    }
}
