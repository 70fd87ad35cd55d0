//! Questions to the running relay whose answer is the only thing wanted.

use std::path::Path;

use anyhow::{anyhow, bail};

use graceful_server::admin::{self, Answer, Question};

/// The answer. [`admin::AdminError`] says where there is none.
///
/// # Errors
/// Also what the relay gives as the reason for none.
pub(super) async fn ask(folder: &Path, question: &Question) -> anyhow::Result<Answer> {
    match admin::ask(folder, question).await? {
        Answer::Error(text) => bail!("{text}"),
        answer => Ok(answer),
    }
}

/// How the relay is doing, as it says it.
///
/// # Errors
/// As [`ask`].
pub(super) async fn status(folder: &Path) -> anyhow::Result<serde_json::Value> {
    match ask(folder, &Question::Status {}).await? {
        Answer::Status(status) => Ok(status),
        _ => Err(odd()),
    }
}

/// It answered what was not asked.
pub(super) fn odd() -> anyhow::Error {
    anyhow!("the relay answered another question")
}
