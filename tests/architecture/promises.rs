//! Pages whose promises name tests.

use super::source::{Source, words};

/// Pages with tables of test names.
pub const PAGES: &[&str] = &["docs/design/privacy.md", "docs/design/security.md"];

/// Returns the test names of a page: words in backticks, joined by underscores.
pub fn named(page: &str) -> Vec<&str> {
    let is_name = |span: &&str| {
        let characters = span
            .chars()
            .all(|character| character.is_ascii_lowercase() || character == '_');
        characters && span.matches('_').count() >= 2
    };
    page.split('`').skip(1).step_by(2).filter(is_name).collect()
}

/// Returns named tests that do not exist.
pub fn offences(page: &str, named: &[&str], sources: &[Source]) -> Vec<String> {
    let is_there = |name: &str| {
        sources
            .iter()
            .any(|source| words(&source.code, name).any(|at| source.code[..at].ends_with("fn ")))
    };
    let missing = named.iter().filter(|name| !is_there(name));
    missing
        .map(|name| format!("{page}: there is no test called `{name}`"))
        .collect()
}
