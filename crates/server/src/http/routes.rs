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
use super::status::{status as told_status, version as told_version};
use super::upgrade::upgrade;
use crate::relay::Away;

pub(super) fn routes(door: &Arc<Door>) -> BoxedFilter<(Response,)> {
    let anything_else = warp::any().map(not_found);
    let told = health(door)
        .or(status(door))
        .unify()
        .or(version(door))
        .unify()
        .or(pages(door))
        .unify();
    let routes = told
        .or(sync(door))
        .unify()
        .or(exchanges(door))
        .unify()
        .or(anything_else)
        .unify();
    routes.map(one_request).boxed()
}

/// One request to a connection, unless it becomes a conversation: so that the slot of a plain one
/// is free again within seconds.
pub(super) fn one_request(mut response: Response) -> Response {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// `/health` and `/health/live`: it answers. `/health/ready`: devices should come.
pub(super) fn health(door: &Arc<Door>) -> BoxedFilter<(Response,)> {
    let up_paths = warp::path!("health")
        .or(warp::path!("health" / "live"))
        .unify()
        .boxed();
    let up = asked(door, up_paths, |_, method, _| async move { up(&method) });
    let ready_path = warp::path!("health" / "ready").boxed();
    up.or(asked(door, ready_path, |door, method, _| async move {
        ready(&door, &method).await
    }))
    .unify()
    .boxed()
}

pub(super) fn status(door: &Arc<Door>) -> BoxedFilter<(Response,)> {
    asked(
        door,
        warp::path!("status").boxed(),
        |door, method, headers| async move { told_status(&door, &method, &headers).await },
    )
}

/// What anybody may read.
fn pages(door: &Arc<Door>) -> BoxedFilter<(Response,)> {
    let html = asked(
        door,
        warp::path::end().boxed(),
        |door, method, headers| async move { door.page.html(&method, &headers) },
    );
    let json = asked(
        door,
        warp::path!("status.json").boxed(),
        |door, method, headers| async move { door.page.json(&method, &headers) },
    );
    html.or(json).unify().boxed()
}

pub(super) fn version(door: &Arc<Door>) -> BoxedFilter<(Response,)> {
    asked(
        door,
        warp::path!("version").boxed(),
        |_, method, _| async move { told_version(&method) },
    )
}

/// A question that any page on the list may ask.
fn asked<A: Future<Output = Response> + Send + 'static>(
    door: &Arc<Door>,
    path: BoxedFilter<()>,
    answer: impl Fn(Arc<Door>, Method, HeaderMap) -> A + Clone + Send + Sync + 'static,
) -> BoxedFilter<(Response,)> {
    let door = door.clone();
    path.and(warp::method())
        .and(warp::header::headers_cloned())
        .then(move |method: Method, headers: HeaderMap| {
            let origin = headers.get(ORIGIN).cloned();
            let (door, answer) = (door.clone(), answer(door.clone(), method, headers));
            async move {
                door.live
                    .now()
                    .allowed_origins
                    .open_to(origin.as_ref(), answer.await)
            }
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
        .map(
            move |method: Method, headers: HeaderMap, on_upgrade, visitor| {
                let refused = refused_origin(&door, &headers);
                refused.unwrap_or_else(|| upgrade(&door, &method, &headers, on_upgrade, visitor))
            },
        )
        .boxed()
}

fn exchanges(door: &Arc<Door>) -> BoxedFilter<(Response,)> {
    let door = door.clone();
    warp::path!("v1" / "exchange")
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::ext::get::<Arc<Visitor>>())
        .and(warp::body::stream())
        .then(
            move |method: Method, headers: HeaderMap, visitor: Arc<Visitor>, body| {
                let door = door.clone();
                async move {
                    let answer = match refused_origin(&door, &headers) {
                        Some(refused) => refused,
                        None => exchange(&door, &method, &headers, &visitor, body).await,
                    };
                    door.live
                        .now()
                        .allowed_origins
                        .open_to(headers.get(ORIGIN), answer)
                }
            },
        )
        .boxed()
}

fn refused_origin(door: &Door, headers: &HeaderMap) -> Option<Response> {
    let refused = door.live.now().allowed_origins.refuse(headers)?;
    door.metrics.sent_away(Away::Origin);
    Some(refused)
}
