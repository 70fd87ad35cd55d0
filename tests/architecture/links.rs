//! Links of the pages: in Markdown as written, and in the built site.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Pages outside `docs/` with links in them.
pub const PAGES: &[&str] = &[
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "packaging/monitoring/README.md",
];

/// The table of contents of the site.
const SUMMARY: &str = "docs/SUMMARY.md";

/// Every file below `folder` with this extension.
pub fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Every page of the repository, relative to its root.
pub fn pages(root: &Path) -> Vec<PathBuf> {
    let docs = files(&root.join("docs"), "md").into_iter();
    let docs = docs.map(|path| path.strip_prefix(root).expect("below the root").to_owned());
    PAGES.iter().map(PathBuf::from).chain(docs).collect()
}

/// Links in Markdown that lead nowhere: no such file, or no such heading in it.
pub fn dead_in_pages(root: &Path, pages: &[PathBuf]) -> Vec<String> {
    let mut dead = Vec::new();
    for page in pages {
        let text = read(&root.join(page));
        for link in links(&text) {
            if let Err(why) = follow(root, page, &link, anchors) {
                dead.push(format!("{}: {link}: {why}", page.display()));
            }
        }
    }
    dead
}

/// Pages that the table of contents does not name.
pub fn missing_in_summary(root: &Path, pages: &[PathBuf]) -> Vec<String> {
    let listed: BTreeSet<PathBuf> = links(&read(&root.join(SUMMARY)))
        .iter()
        .map(|link| normal(&Path::new("docs").join(link)))
        .collect();
    let exempt = |page: &Path| page == Path::new(SUMMARY) || page.starts_with("packaging");
    pages
        .iter()
        .filter(|page| !exempt(page) && !listed.contains(*page))
        .map(|page| format!("{}: not in {SUMMARY}", page.display()))
        .collect()
}

/// Links in the pages of the built site that lead nowhere in it.
pub fn dead_in_site(site: &Path) -> Vec<String> {
    let mut dead = Vec::new();
    for path in files(site, "html") {
        let page = path.strip_prefix(site).expect("below the site");
        // These two have links that depend on where the server shows them.
        if ["404.html", "print.html", "toc.html"]
            .iter()
            .any(|name| page == Path::new(name))
        {
            continue;
        }
        let text = read(&path);
        let targets = ["href=\"", "src=\""]
            .iter()
            .flat_map(|start| quoted(&text, start));
        for link in targets.collect::<BTreeSet<_>>() {
            if let Err(why) = follow(site, page, &link, ids) {
                dead.push(format!("{}: {link}: {why}", page.display()));
            }
        }
    }
    dead
}

fn follow(
    root: &Path,
    page: &Path,
    link: &str,
    anchors: impl Fn(&str) -> BTreeSet<String>,
) -> Result<(), String> {
    let is_elsewhere = ["http:", "https:", "mailto:", "data:", "javascript:"]
        .iter()
        .any(|scheme| link.starts_with(scheme));
    if is_elsewhere {
        return Ok(());
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if path.is_empty() {
        root.join(page)
    } else {
        let folder = page.parent().unwrap_or(Path::new(""));
        root.join(normal(&folder.join(path)))
    };
    // A web server shows no list of a folder's files.
    if !target.is_file() {
        return Err("there is no such file".to_owned());
    }
    let has_anchors = ["md", "html"]
        .iter()
        .any(|known| target.extension() == Some(known.as_ref()));
    if anchor.is_empty() || !has_anchors || anchors(&read(&target)).contains(anchor) {
        return Ok(());
    }
    Err("there is no such heading".to_owned())
}

/// Targets of the links and pictures of a page, code left out.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let inline = prose.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?;
        target.split_whitespace().next()
    });
    let defined = prose.lines().filter_map(|line| {
        let (_, target) = line.strip_prefix('[')?.split_once("]: ")?;
        target.split_whitespace().next()
    });
    inline.chain(defined).map(str::to_owned).collect()
}

/// A page without blocks and spans of code.
fn prose(text: &str) -> String {
    let mut prose = String::new();
    let mut is_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
            continue;
        }
        if is_code || line.starts_with("    ") {
            continue;
        }
        // What stands between backticks is every second piece.
        let spans: Vec<&str> = line.split('`').step_by(2).collect();
        prose.push_str(&spans.join("code"));
        prose.push('\n');
    }
    prose
}

/// The anchors of a page's headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = BTreeSet::new();
    let mut is_code = false;
    for line in text.lines() {
        is_code ^= line.trim_start().starts_with("```");
        let heading = line.trim_start_matches('#');
        if is_code || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let anchor = anchor(heading.trim());
        let times = seen.entry(anchor.clone()).or_default();
        anchors.insert(match *times {
            0 => anchor,
            times => format!("{anchor}-{times}"),
        });
        *times += 1;
    }
    anchors
}

fn anchor(heading: &str) -> String {
    let mut text = String::new();
    let mut rest = heading;
    // Of a link, the text alone.
    while let Some((before, link)) = rest.split_once("](") {
        text.push_str(before);
        rest = link.split_once(')').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    text.to_lowercase()
        .chars()
        .filter_map(|letter| match letter {
            ' ' => Some('-'),
            '-' | '_' => Some(letter),
            letter => letter.is_alphanumeric().then_some(letter),
        })
        .collect()
}

fn ids(html: &str) -> BTreeSet<String> {
    quoted(html, " id=\"").collect()
}

fn quoted<'a>(html: &'a str, start: &'a str) -> impl Iterator<Item = String> + 'a {
    html.split(start)
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(|value| value.replace("&amp;", "&"))
}

/// Without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                normal.pop();
            }
            std::path::Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn pages_have_no_dead_link() {
    let root = super::root();
    let pages = pages(root);
    assert!(pages.len() > 25, "only {} pages found", pages.len());
    super::assert_none(&dead_in_pages(root, &pages));
    super::assert_none(&missing_in_summary(root, &pages));
}

/// Run by `./check docs-site`, which builds the site.
#[test]
#[ignore = "needs the built site"]
fn site_has_no_dead_link() {
    let site = super::root().join("target/site/book");
    assert!(
        files(&site, "html").len() > 25,
        "no site found; ./check docs-site builds it"
    );
    super::assert_none(&dead_in_site(&site));
}

#[test]
fn planted_dead_links_are_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let write =
        |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    write(
        "a.md",
        "# One `two`, three\n[good](b.md#four) [good](#one-two-three) [good](https://example.org)\n\
         [no file](c.md) ![no picture](c.svg) [no heading](b.md#five) [`code`](#nowhere)\n\
         `[code](d.md)`\n```\n[code](d.md)\n```\n[reference]: e.md\n",
    );
    write("b.md", "# Four\n");
    let dead = dead_in_pages(folder.path(), &["a.md".into(), "b.md".into()]);
    assert_eq!(dead.len(), 5, "{dead:#?}");

    let site = tempfile::tempdir().expect("a folder");
    let page = "<a href=\"b.html#x\">good</a><a href=\"b.html#y\">bad</a><img src=\"c.png\">";
    std::fs::write(site.path().join("a.html"), page).expect("written");
    std::fs::write(site.path().join("b.html"), "<p id=\"x\">").expect("written");
    let dead = dead_in_site(site.path());
    assert_eq!(dead.len(), 2, "{dead:#?}");
}
