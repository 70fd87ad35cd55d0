//! The metrics listener: a socket of its own, for this machine or a private network.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::header::HeaderMap;
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::accept::accept_all;
use super::bearer_token::refused;
use super::connection::ConnectionHandler;
use super::metrics::encode;
use super::response::{body, not_allowed, text};
use super::routes::{health, one_request, status, version};
use super::{Admission, Options, ServerState, StatusPage};

/// The content type of OpenMetrics 1.0.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The running listener.
pub(super) struct MetricsListener {
    state: Arc<ServerState>,
    stop: CancellationToken,
}

impl MetricsListener {
    /// Serves the metrics of `main`.
    pub(super) fn serve(listener: TcpListener, main: &Arc<ServerState>) -> Self {
        let options = Options {
            admission: Admission::default(),
            ..main.options.clone()
        };
        let open = (main.reloadable.clone(), StatusPage::default());
        let state = ServerState::new(main.relay.clone(), options, open, None, Arc::default());
        let connections = ConnectionHandler::new(&state, metrics_routes(main), None);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        state.spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                () = accept_all(&listener, &connections) => {}
            }
        });
        Self { state, stop }
    }

    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.state.close().await;
    }
}

fn metrics_routes(main: &Arc<ServerState>) -> BoxedFilter<(Response,)> {
    let nothing = warp::any().map(|| {
        text(
            StatusCode::NOT_FOUND,
            "Not found. This listener serves /metrics, /health, /health/ready, /status and /version.",
        )
    });
    let told = health(main)
        .or(status(main))
        .unify()
        .or(version(main))
        .unify();
    told.or(metrics(main))
        .unify()
        .or(nothing)
        .unify()
        .map(one_request)
        .boxed()
}

fn metrics(main: &Arc<ServerState>) -> BoxedFilter<(Response,)> {
    let state = main.clone();
    warp::path!("metrics")
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .then(move |method: Method, headers: HeaderMap| {
            let state = state.clone();
            async move {
                if method != Method::GET && method != Method::HEAD {
                    return not_allowed("GET, HEAD");
                }
                if let Some(refused) =
                    refused(state.reloadable.current().metrics_token.as_ref(), &headers)
                {
                    return refused;
                }
                match encode(&state).await {
                    Ok(metrics) => body(StatusCode::OK, OPEN_METRICS, metrics),
                    Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error),
                }
            }
        })
        .boxed()
}
