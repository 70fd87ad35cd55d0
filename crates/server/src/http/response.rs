//! Plain-text responses.

use warp::http::StatusCode;
use warp::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use warp::reply::{Reply, Response, with_header, with_status};

/// Retry time of an overloaded relay in seconds.
const RETRY_AFTER_S: u32 = 5;

/// A response with a sentence.
pub(super) fn text(status: StatusCode, sentence: &str) -> Response {
    body(status, "text/plain; charset=utf-8", format!("{sentence}\n"))
}

/// A response with a body of the given type.
pub(super) fn body(status: StatusCode, content_type: &'static str, bytes: impl Reply) -> Response {
    with_header(with_status(bytes, status), CONTENT_TYPE, content_type).into_response()
}

pub(super) fn not_found() -> Response {
    text(
        StatusCode::NOT_FOUND,
        "Not found. This is a Graceful Relay: clients connect to /v1/sync, and /health reports whether it is up.",
    )
}

pub(super) fn not_allowed(methods: &'static str) -> Response {
    let sentence = format!("Method not allowed: use {methods}.");
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
