//! Answers in plain words, for whoever looks at the relay with something else than a client.

use warp::http::StatusCode;
use warp::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use warp::reply::{Reply, Response, with_header, with_status};

/// When to try again, in seconds, where only the crowd is in the way.
const RETRY_AFTER_S: u32 = 5;

/// A sentence, with a status that says the same to programs.
pub(super) fn text(status: StatusCode, sentence: &str) -> Response {
    body(status, "text/plain; charset=utf-8", format!("{sentence}\n"))
}

/// Bytes of some type.
pub(super) fn body(status: StatusCode, content_type: &'static str, bytes: impl Reply) -> Response {
    with_header(with_status(bytes, status), CONTENT_TYPE, content_type).into_response()
}

pub(super) fn not_found() -> Response {
    text(
        StatusCode::NOT_FOUND,
        "There is nothing here. This is a Graceful Relay: its clients connect to /v1/sync, and /health says whether it is up.",
    )
}

pub(super) fn not_allowed(methods: &'static str) -> Response {
    let sentence = format!("Only {methods} works here.");
    with_header(
        text(StatusCode::METHOD_NOT_ALLOWED, &sentence),
        ALLOW,
        methods,
    )
    .into_response()
}

pub(super) fn overloaded(why: &str) -> Response {
    let sentence = format!("{why} Try again in {RETRY_AFTER_S} seconds.");
    with_header(
        text(StatusCode::SERVICE_UNAVAILABLE, &sentence),
        RETRY_AFTER,
        RETRY_AFTER_S,
    )
    .into_response()
}
