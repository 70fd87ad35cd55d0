//! The findings as text.

use console::style;

use crate::human::{plural, wrap};
use graceful_server::doctor::{Finding, Level};

const COLUMNS: usize = 80;
const INDENT: usize = 12;

pub(super) fn page(findings: &[Finding]) -> String {
    let mut page = String::from("\n");
    for Finding {
        check,
        level,
        text,
        next,
    } in findings
    {
        let mark = match level {
            Level::Ok => style("ok      ").green(),
            Level::Warning => style("warning ").yellow().bold(),
            Level::Failure => style("FAILURE ").red().bold(),
        };
        let text = wrap(&format!("{check}: {text}"), INDENT - 2, COLUMNS);
        page += &format!(" {mark} {text}\n");
        if let Some(next) = next {
            page += &format!(
                "{:10}{}\n",
                "",
                style(wrap(&format!("→ {next}"), INDENT, COLUMNS)).dim()
            );
        }
    }
    let count = |level| {
        findings
            .iter()
            .filter(|finding| finding.level == level)
            .count()
    };
    let (failures, warnings) = (count(Level::Failure), count(Level::Warning));
    page + &match (failures, warnings) {
        (0, 0) => "\n No problems found.\n\n".to_owned(),
        _ => format!(
            "\n {} and {}.\n\n",
            plural(failures as u64, "failure"),
            plural(warnings as u64, "warning")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        let long = "words that go on and on ".repeat(12);
        let findings = [
            Finding::ok("a", &long),
            Finding::failure("b", &long, &long),
            Finding::warning("c", "x", "y"),
        ];
        let page = console::strip_ansi_codes(&page(&findings)).into_owned();
        assert!(
            page.lines().all(|line| line.chars().count() <= COLUMNS),
            "{page}"
        );
        assert!(page.contains("1 failure and 1 warning."), "{page}");
    }
}
