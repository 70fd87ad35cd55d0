//! Source files with comments, literals and tests blanked.

use std::path::Path;

/// A source file.
#[derive(Clone)]
pub struct Source {
    /// Path with `/` as separator.
    pub path: String,
    /// The full text.
    pub text: String,
    /// The text with comments and literals blanked, line by line.
    pub code: String,
    /// The same with tests blanked.
    pub code_without_tests: String,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let code = blank_comments_and_literals(text);
        let tests_only = path.ends_with("/tests.rs") || path.contains("/tests/");
        let code_without_tests = if tests_only {
            String::new()
        } else {
            blank_tests(&code)
        };
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
            code_without_tests,
        }
    }
}

/// Returns every Rust file below these folders, with paths relative to `root`.
pub fn walk_all(root: &Path, folders: &[&str]) -> Vec<Source> {
    let mut sources = Vec::new();
    for folder in folders {
        for source in walk(&root.join(folder)) {
            let path = format!("{folder}/{}", source.path);
            sources.push(Source { path, ..source });
        }
    }
    sources
}

/// Returns every Rust file below a folder in order, without generated code.
pub fn walk(folder: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder of the crate can be read") {
            let path = entry.expect("an entry of a folder can be read").path();
            if path.ends_with("generated") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source file is text");
                let below = path
                    .strip_prefix(folder)
                    .expect("the walk stays below its folder");
                let below = below
                    .to_str()
                    .expect("file names are UTF-8")
                    .replace('\\', "/");
                sources.push(Source::new(&below, &text));
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

/// Blanks comments and literals and keeps the lines.
fn blank_comments_and_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (length, is_code) = token(rest, code.chars().next_back());
        let (token, after) = rest.split_at(length);
        if is_code {
            code.push_str(token);
        } else {
            code.extend(
                token
                    .chars()
                    .map(|character| if character == '\n' { '\n' } else { ' ' }),
            );
        }
        rest = after;
    }
    code
}

/// Returns the length of the first token in bytes, and whether it is code.
fn token(rest: &str, before: Option<char>) -> (usize, bool) {
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), false);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), false);
    }
    let in_a_word = before.is_some_and(|character| character.is_alphanumeric() || character == '_');
    let literal = if in_a_word {
        rest
    } else {
        rest.strip_prefix(['b', 'c']).unwrap_or(rest)
    };
    let prefix = rest.len() - literal.len();
    if let Some(raw) = literal.strip_prefix('r').filter(|_| !in_a_word) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let inside = &raw[hashes + 1..];
            let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
            return (prefix + 1 + hashes + 1 + length, false);
        }
    }
    if literal.starts_with('"') {
        return (prefix + quoted(literal, '"'), false);
    }
    // A character literal, not a lifetime: escaped, or closed after one character.
    let mut characters = literal.chars();
    if characters.next() == Some('\'') {
        let escaped = characters.next() == Some('\\');
        if escaped || characters.next() == Some('\'') {
            return (prefix + quoted(literal, '\''), false);
        }
    }
    (rest.chars().next().map_or(0, char::len_utf8), true)
}

fn quoted(literal: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in literal.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    literal.len()
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// Blanks every item behind `#[cfg(test)]`: tests may be of any length.
fn blank_tests(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..at]);
        let item = &rest[at..];
        let open = item.find(['{', ';']).unwrap_or(item.len() - 1);
        let end = if item[open..].starts_with('{') {
            open + block(&item[open..])
        } else {
            open + 1
        };
        rest = &item[end..];
    }
    out.push_str(rest);
    out
}

/// Returns the length of a block in braces.
pub fn block(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, character) in code.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// Returns where `word` occurs as a whole word.
pub fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part_of_word = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| {
            !code[..*at].chars().next_back().is_some_and(part_of_word)
                && !code[at + word.len()..]
                    .chars()
                    .next()
                    .is_some_and(part_of_word)
        })
}

/// Returns the line number of a byte.
pub fn line(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}
