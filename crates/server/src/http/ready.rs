//! `/health/ready`: whether new devices should connect here.

use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::ServerState;
use super::response::{not_allowed, overloaded, text};

/// Responds 200 while a device can push and get `Stored`, otherwise 503 with the reasons.
pub(super) async fn ready(state: &ServerState, method: &Method) -> Response {
    match *method {
        Method::GET | Method::HEAD => {
            let reasons = state.relay.check_readiness().await;
            match state.relay.not_ready_message(&reasons) {
                Some(message) => overloaded(&format!("Not ready: {message}.")),
                None => text(StatusCode::OK, "ready"),
            }
        }
        _ => not_allowed("GET, HEAD"),
    }
}
