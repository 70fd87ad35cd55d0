//! Requests to the running relay over its admin socket.

use std::path::Path;

use anyhow::{anyhow, bail};

use graceful_server::admin::{self, AdminRequest, AdminResponse};

/// Sends a request and returns the response.
///
/// # Errors
/// [`admin::AdminError`] without a response, or the error that the relay returns.
pub(crate) async fn ask(folder: &Path, question: &AdminRequest) -> anyhow::Result<AdminResponse> {
    match admin::request(folder, question).await? {
        AdminResponse::Error(text) => bail!("{text}"),
        answer => Ok(answer),
    }
}

/// Returns the relay's status as JSON.
///
/// # Errors
/// As [`ask`].
pub(crate) async fn status(folder: &Path) -> anyhow::Result<serde_json::Value> {
    match ask(folder, &AdminRequest::Status {}).await? {
        AdminResponse::Status(status) => Ok(status),
        _ => Err(unexpected_response()),
    }
}

/// The error for a response of another kind.
pub(crate) fn unexpected_response() -> anyhow::Error {
    anyhow!("unexpected response; the relay may run another version: restart it")
}
