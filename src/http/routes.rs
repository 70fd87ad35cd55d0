//! Which path leads where.

use std::sync::Arc;

use hyper::upgrade::OnUpgrade;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONNECTION, HeaderMap, HeaderValue};
use warp::http::{Method, StatusCode};
use warp::reply::{Reply, Response, with_header};

use super::Door;
use super::answer::{not_allowed, not_found, text};
use super::exchange::exchange;
use super::headers::secure;
use super::upgrade::upgrade;

pub(super) fn routes(door: &Arc<Door>, over_tls: bool) -> BoxedFilter<(Response,)> {
    let anything_else = warp::any().map(not_found);
    let routes = health().or(sync(door)).unify().or(exchanges(door)).unify().or(anything_else).unify();
    let secured = move |mut response: Response| {
        secure(response.headers_mut(), over_tls);
        response
    };
    routes.map(one_request).map(secured).boxed()
}

/// One request to a connection, unless it becomes a conversation: so that the slot of a plain one
/// is free again within seconds.
fn one_request(mut response: Response) -> Response {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn health() -> BoxedFilter<(Response,)> {
    warp::path!("health").and(warp::method()).map(|method| open_to_any_page(up(&method))).boxed()
}

fn up(method: &Method) -> Response {
    match *method {
        Method::GET | Method::HEAD => text(StatusCode::OK, "up"),
        _ => not_allowed("GET, HEAD"),
    }
}

fn sync(door: &Arc<Door>) -> BoxedFilter<(Response,)> {
    let door = door.clone();
    warp::path!("v1" / "sync")
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<OnUpgrade>())
        .map(move |method: Method, headers: HeaderMap, on_upgrade| {
            upgrade(&door, &method, &headers, on_upgrade)
        })
        .boxed()
}

fn exchanges(door: &Arc<Door>) -> BoxedFilter<(Response,)> {
    let door = door.clone();
    warp::path!("v1" / "exchange")
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |method: Method, headers: HeaderMap, body| {
            let door = door.clone();
            async move { open_to_any_page(exchange(&door, &method, &headers, body).await) }
        })
        .boxed()
}

/// Apps in a browser come from origins that the relay does not know. It has no cookies and no
/// sessions: what a page can do here, it can do from anywhere.
fn open_to_any_page(response: Response) -> Response {
    with_header(response, ACCESS_CONTROL_ALLOW_ORIGIN, "*").into_response()
}
