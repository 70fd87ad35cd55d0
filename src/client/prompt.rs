//! Asking the person, who may also be a pipe.

use std::io::Write;

use anyhow::{Context, bail};

/// Asks on the standard error stream, reads from the standard input. Nothing but yes is yes.
pub(super) async fn prompt(question: &str) -> anyhow::Result<bool> {
    eprint!("{question} [y/N] ");
    std::io::stderr().flush().context("cannot ask")?;
    let read = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map(|_| answer)
    });
    let answer = read
        .await
        .context("asking ended badly")?
        .context("cannot read the answer")?;
    if answer.is_empty() {
        eprintln!();
    }
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Goes on only after a yes.
pub(super) async fn confirm(question: &str, yes: bool) -> anyhow::Result<()> {
    if yes || prompt(question).await? {
        return Ok(());
    }
    bail!("nothing was done; answer y, or say --yes, to go on")
}
