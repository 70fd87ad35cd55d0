//! Questions to the running relay whose answer is the only thing wanted.

use std::path::Path;

use anyhow::{anyhow, bail};

use graceful_server::admin::{self, AdminRequest, AdminResponse};

/// The answer. [`admin::AdminError`] says where there is none.
///
/// # Errors
/// Also what the relay gives as the reason for none.
pub(crate) async fn ask(folder: &Path, question: &AdminRequest) -> anyhow::Result<AdminResponse> {
    match admin::request(folder, question).await? {
        AdminResponse::Error(text) => bail!("{text}"),
        answer => Ok(answer),
    }
}

/// How the relay is doing, as it says it.
///
/// # Errors
/// As [`ask`].
pub(crate) async fn status(folder: &Path) -> anyhow::Result<serde_json::Value> {
    match ask(folder, &AdminRequest::Status {}).await? {
        AdminResponse::Status(status) => Ok(status),
        _ => Err(unexpected_response()),
    }
}

/// It answered what was not asked.
pub(crate) fn unexpected_response() -> anyhow::Error {
    anyhow!("the relay answered another question")
}
