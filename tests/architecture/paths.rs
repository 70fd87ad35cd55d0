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

/// The crates of the workspace that a manifest depends on, without the prefix.
fn dependencies(manifest: &str) -> Vec<String> {
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap_or("");
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    let mut names: Vec<String> = lines
        .filter_map(|line| line.strip_prefix("graceful-")?.split('.').next())
        .map(str::to_owned)
        .collect();
    names.sort();
    names
}

#[test]
fn architecture_page_lists_the_dependencies_of_each_crate() {
    let root = super::root();
    let page = std::fs::read_to_string(root.join("docs/design/architecture.md")).expect("the page");
    let (_, table) = page
        .split_once("| crate | depends on |\n|---|---|\n")
        .expect("the table of dependencies is there");
    let rows: Vec<&str> = table
        .lines()
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert!(rows.len() >= 9, "only {} crates listed", rows.len());
    for row in rows {
        let mut names = row.split('`').skip(1).step_by(2);
        let name = names.next().expect("a crate");
        let manifest = std::fs::read_to_string(root.join(format!("crates/{name}/Cargo.toml")))
            .expect("the crate has a manifest");
        let listed: Vec<&str> = names.collect();
        assert_eq!(dependencies(&manifest), listed, "dependencies of {name}");
    }
}

#[test]
fn planted_missing_path_is_found() {
    let page = "`tests/architecture`, `tests/nowhere.rs`, `serve`, `tests/data/<target>`";
    assert_eq!(named(page), ["tests/architecture", "tests/nowhere.rs"]);
    assert_eq!(missing(super::root(), page), ["tests/nowhere.rs"]);
}
