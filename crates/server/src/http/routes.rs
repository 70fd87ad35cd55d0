//! The routes.

use std::sync::Arc;

use hyper::upgrade::OnUpgrade;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::header::{CONNECTION, HeaderMap, HeaderValue, ORIGIN};
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::ServerState;
use super::exchange::exchange;
use super::ready::ready;
use super::response::{not_allowed, not_found, text};
use super::status::{status as told_status, version as told_version};
use super::upgrade::upgrade;
use crate::net::admission::ConnectionGuard;
use crate::observe::RejectReason;

pub(super) fn routes(state: &Arc<ServerState>) -> BoxedFilter<(Response,)> {
    let anything_else = warp::any().map(not_found);
    let told = health(state)
        .or(status(state))
        .unify()
        .or(version(state))
        .unify()
        .or(pages(state))
        .unify();
    let routes = told
        .or(sync(state))
        .unify()
        .or(exchanges(state))
        .unify()
        .or(anything_else)
        .unify();
    routes.map(one_request).boxed()
}

/// Closes the connection after one request, unless it becomes a session, so that its slot is free
/// within seconds.
pub(super) fn one_request(mut response: Response) -> Response {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// `/health` and `/health/live`: liveness. `/health/ready`: readiness.
pub(super) fn health(state: &Arc<ServerState>) -> BoxedFilter<(Response,)> {
    let up_paths = warp::path!("health")
        .or(warp::path!("health" / "live"))
        .unify()
        .boxed();
    let up = route(state, up_paths, |_, method, _| async move { up(&method) });
    let ready_path = warp::path!("health" / "ready").boxed();
    up.or(route(state, ready_path, |state, method, _| async move {
        ready(&state, &method).await
    }))
    .unify()
    .boxed()
}

pub(super) fn status(state: &Arc<ServerState>) -> BoxedFilter<(Response,)> {
    route(
        state,
        warp::path!("status").boxed(),
        |state, method, headers| async move { told_status(&state, &method, &headers).await },
    )
}

/// The public status page.
fn pages(state: &Arc<ServerState>) -> BoxedFilter<(Response,)> {
    let html = route(
        state,
        warp::path::end().boxed(),
        |state, method, headers| async move { state.page.html(&method, &headers) },
    );
    let json = route(
        state,
        warp::path!("status.json").boxed(),
        |state, method, headers| async move { state.page.json(&method, &headers) },
    );
    html.or(json).unify().boxed()
}

pub(super) fn version(state: &Arc<ServerState>) -> BoxedFilter<(Response,)> {
    route(
        state,
        warp::path!("version").boxed(),
        |_, method, _| async move { told_version(&method) },
    )
}

/// A route that any allowed page may call.
fn route<A: Future<Output = Response> + Send + 'static>(
    state: &Arc<ServerState>,
    path: BoxedFilter<()>,
    answer: impl Fn(Arc<ServerState>, Method, HeaderMap) -> A + Clone + Send + Sync + 'static,
) -> BoxedFilter<(Response,)> {
    let state = state.clone();
    path.and(warp::method())
        .and(warp::header::headers_cloned())
        .then(move |method: Method, headers: HeaderMap| {
            let origin = headers.get(ORIGIN).cloned();
            let (state, answer) = (state.clone(), answer(state.clone(), method, headers));
            async move {
                state
                    .reloadable
                    .current()
                    .allowed_origins
                    .add_cors_headers(origin.as_ref(), answer.await)
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

fn sync(state: &Arc<ServerState>) -> BoxedFilter<(Response,)> {
    let state = state.clone();
    warp::path!("v1" / "sync")
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<OnUpgrade>())
        .and(warp::ext::get::<Arc<ConnectionGuard>>())
        .map(
            move |method: Method, headers: HeaderMap, on_upgrade, guard| {
                let refused = reject_origin(&state, &headers);
                refused.unwrap_or_else(|| upgrade(&state, &method, &headers, on_upgrade, guard))
            },
        )
        .boxed()
}

fn exchanges(state: &Arc<ServerState>) -> BoxedFilter<(Response,)> {
    let state = state.clone();
    warp::path!("v1" / "exchange")
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::ext::get::<Arc<ConnectionGuard>>())
        .and(warp::body::stream())
        .then(
            move |method: Method, headers: HeaderMap, guard: Arc<ConnectionGuard>, body| {
                let state = state.clone();
                async move {
                    let answer = match reject_origin(&state, &headers) {
                        Some(refused) => refused,
                        None => exchange(&state, &method, &headers, &guard, body).await,
                    };
                    state
                        .reloadable
                        .current()
                        .allowed_origins
                        .add_cors_headers(headers.get(ORIGIN), answer)
                }
            },
        )
        .boxed()
}

fn reject_origin(state: &ServerState, headers: &HeaderMap) -> Option<Response> {
    let refused = state.reloadable.current().allowed_origins.reject(headers)?;
    state.metrics.record_rejection(RejectReason::Origin);
    Some(refused)
}
