//! Paths of the repository that pages name.

use std::path::Path;

/// Pages that lead a reader to files and folders.
const PAGES: &[&str] = &[
    "CONTRIBUTING.md",
    "docs/design/architecture.md",
    "docs/design/fuzzing.md",
    "docs/design/packaging.md",
    "docs/design/storage.md",
];

/// Where such a path begins.
const TOP: &[&str] = &[
    "benches",
    "crates",
    "docs",
    "fuzz",
    "packaging",
    "proto",
    "src",
    "systemd",
    "tests",
];

/// The paths that a page has in backticks.
fn named(page: &str) -> Vec<&str> {
    let is_path = |span: &&str| {
        let begins = TOP.iter().any(|top| {
            span.strip_prefix(top)
                .is_some_and(|rest| rest.starts_with('/'))
        });
        begins && !span.contains(['<', '*', ' '])
    };
    page.split('`').skip(1).step_by(2).filter(is_path).collect()
}

fn missing(root: &Path, page: &str) -> Vec<String> {
    named(page)
        .into_iter()
        .filter(|path| !root.join(path).exists())
        .map(str::to_owned)
        .collect()
}

#[test]
fn page_names_a_path_it_exists() {
    let root = super::root();
    let mut count = 0;
    for page in PAGES {
        let text = std::fs::read_to_string(root.join(page)).expect("the page is there");
        count += named(&text).len();
        let missing = missing(root, &text);
        assert!(
            missing.is_empty(),
            "{page} names {missing:?}, which do not exist"
        );
    }
    assert!(count > 80, "only {count} paths found");
}

#[test]
fn planted_missing_path_is_found() {
    let page = "`tests/architecture`, `tests/nowhere.rs`, `serve`, `tests/data/<target>`";
    assert_eq!(named(page), ["tests/architecture", "tests/nowhere.rs"]);
    assert_eq!(missing(super::root(), page), ["tests/nowhere.rs"]);
}
