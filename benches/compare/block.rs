//! The generated part of a page, between two marks.

use std::path::Path;

use anyhow::{Context, Result};

/// Replaces the part `name` of the page.
pub fn replace(page: &Path, name: &str, text: &str) -> Result<()> {
    let (begin, end) = (
        format!("<!-- measured by {name}: from here -->"),
        format!("<!-- {name}: to here -->"),
    );
    let old = std::fs::read_to_string(page).unwrap_or_else(|_| "# Performance\n".to_owned());
    let new = match old.split_once(&begin) {
        Some((before, rest)) => {
            let (_, after) = rest
                .split_once(&end)
                .with_context(|| format!("{} lacks {end}", page.display()))?;
            format!("{before}{begin}\n{text}\n{end}{after}")
        }
        None => format!("{old}\n{begin}\n{text}\n{end}\n"),
    };
    std::fs::write(page, new)?;
    eprintln!("wrote {}", page.display());
    Ok(())
}
