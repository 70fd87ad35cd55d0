//! The plain listener beside TLS: redirects, and http-01 challenges.

use warp::Filter;
use warp::filters::BoxedFilter;
use warp::filters::path::FullPath;
use warp::http::header::{CONNECTION, HeaderValue, LOCATION};
use warp::http::{Method, StatusCode};
use warp::reply::{Reply, Response, with_header};

use super::response::{body, not_allowed, text};
use crate::net::tls::Tls;

const CHALLENGES: &str = "/.well-known/acme-challenge/";

pub(super) fn redirect_routes(tls: &Tls) -> BoxedFilter<(Response,)> {
    let tls = tls.clone();
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let asked = warp::method().and(warp::path::full()).and(query);
    let answered = asked.map(move |method: Method, path: FullPath, query: String| {
        let mut response = match method {
            Method::GET | Method::HEAD
                if let Some(answer) = acme_challenge(&tls, path.as_str()) =>
            {
                answer
            }
            Method::GET | Method::HEAD => redirect_to_https(&tls, path.as_str(), &query),
            // The body was already sent in plain text, which a redirect would hide.
            _ => not_allowed("GET, HEAD"),
        };
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
        response
    });
    answered.boxed()
}

/// Responds to an http-01 challenge (RFC 8555, section 8.3).
fn acme_challenge(tls: &Tls, path: &str) -> Option<Response> {
    let answer = tls.http01_response(path.strip_prefix(CHALLENGES)?)?;
    Some(body(StatusCode::OK, "application/octet-stream", answer))
}

/// Redirects to the relay's own name, whatever the request's host is.
fn redirect_to_https(tls: &Tls, path: &str, query: &str) -> Response {
    let Some(name) = tls.names().into_iter().next() else {
        return text(
            StatusCode::UPGRADE_REQUIRED,
            "This relay speaks TLS only: use https:// or wss://.",
        );
    };
    let host = if name.contains(':') {
        format!("[{name}]")
    } else {
        name
    };
    let query = if query.is_empty() {
        String::new()
    } else {
        format!("?{query}")
    };
    let place = format!("https://{host}{path}{query}");
    let response = text(
        StatusCode::PERMANENT_REDIRECT,
        "This relay speaks TLS only: use https:// or wss://.",
    );
    with_header(response, LOCATION, place).into_response()
}
