//! Which path leads where.

use std::sync::Arc;

use hyper::upgrade::OnUpgrade;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::header::{CONNECTION, HeaderMap, HeaderValue, ORIGIN};
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::Door;
use super::answer::{not_allowed, not_found, text};
use super::doorkeeper::Visitor;
use super::exchange::exchange;
use super::ready::ready;
use super::upgrade::upgrade;

pub(super) fn routes(door: &Arc<Door>) -> BoxedFilter<(Response,)> {
    let anything_else = warp::any().map(not_found);
    let health = health(door).or(readiness(door)).unify();
    let routes = health.or(sync(door)).unify().or(exchanges(door)).unify().or(anything_else).unify();
    routes.map(one_request).boxed()
}

/// One request to a connection, unless it becomes a conversation: so that the slot of a plain one
/// is free again within seconds.
fn one_request(mut response: Response) -> Response {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn health(door: &Arc<Door>) -> BoxedFilter<(Response,)> {
    asked(door, warp::path!("health").boxed(), |_, method| up(method))
}

fn readiness(door: &Arc<Door>) -> BoxedFilter<(Response,)> {
    asked(door, warp::path!("health" / "ready").boxed(), ready)
}

/// A question that any page on the list may ask.
fn asked(
    door: &Arc<Door>,
    path: BoxedFilter<()>,
    answer: fn(&Door, &Method) -> Response,
) -> BoxedFilter<(Response,)> {
    let door = door.clone();
    path.and(warp::method())
        .and(warp::header::headers_cloned())
        .map(move |method: Method, headers: HeaderMap| {
            let origins = &door.options.admission.allowed_origins;
            origins.open_to(headers.get(ORIGIN), answer(&door, &method))
        })
        .boxed()
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
        .and(warp::ext::get::<Arc<Visitor>>())
        .map(move |method: Method, headers: HeaderMap, on_upgrade, visitor| {
            let refused = door.options.admission.allowed_origins.refuse(&headers);
            refused.unwrap_or_else(|| upgrade(&door, &method, &headers, on_upgrade, visitor))
        })
        .boxed()
}

fn exchanges(door: &Arc<Door>) -> BoxedFilter<(Response,)> {
    let door = door.clone();
    warp::path!("v1" / "exchange")
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::ext::get::<Arc<Visitor>>())
        .and(warp::body::stream())
        .then(move |method: Method, headers: HeaderMap, visitor: Arc<Visitor>, body| {
            let door = door.clone();
            async move {
                let origins = &door.options.admission.allowed_origins;
                let answer = match origins.refuse(&headers) {
                    Some(refused) => refused,
                    None => exchange(&door, &method, &headers, &visitor, body).await,
                };
                origins.open_to(headers.get(ORIGIN), answer)
            }
        })
        .boxed()
}
