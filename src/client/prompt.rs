//! Prompts on a terminal or a pipe.

use std::io::Write;

use anyhow::{Context, bail};

/// Asks on standard error and reads from standard input. Only yes is yes.
pub(super) async fn prompt(question: &str) -> anyhow::Result<bool> {
    eprint!("{question} [y/N] ");
    std::io::stderr().flush().context("cannot prompt")?;
    let read = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map(|_| answer)
    });
    let answer = read
        .await
        .context("prompt task panicked")?
        .context("cannot read the answer")?;
    if answer.is_empty() {
        eprintln!();
    }
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Asks for confirmation unless `yes`, and fails without it.
pub(super) async fn confirm(question: &str, yes: bool) -> anyhow::Result<()> {
    if yes || prompt(question).await? {
        return Ok(());
    }
    bail!("cancelled; answer y or use --yes")
}
