//! Sizes, and the ban on unsafe code.

use super::source::{Source, block, line, words};

/// Lines of a file, its tests left out.
pub const FILE_LINES_MAX: usize = 800;
/// Lines of a function, from `fn` to its closing brace.
pub const FUNCTION_LINES_MAX: usize = 120;

/// Lines of a file and of a function above which a warning is printed.
pub const FILE_LINES_WARN: usize = 500;
pub const FUNCTION_LINES_WARN: usize = 70;

/// Files and functions that are too long.
pub fn offences(sources: &[Source]) -> Vec<String> {
    longer_than(sources, FILE_LINES_MAX, FUNCTION_LINES_MAX)
}

/// Files and functions that should be split.
pub fn warnings(sources: &[Source]) -> Vec<String> {
    longer_than(sources, FILE_LINES_WARN, FUNCTION_LINES_WARN)
}

fn longer_than(sources: &[Source], file_lines: usize, function_lines_max: usize) -> Vec<String> {
    let mut offences = Vec::new();
    for source in sources {
        let code = &source.code_without_tests;
        let lines = code.lines().count();
        if lines > file_lines {
            offences.push(format!(
                "{}: {lines} lines without its tests, limit {file_lines}",
                source.path
            ));
        }
        for at in words(code, "fn") {
            let lines = function_lines(&code[at..]);
            if lines > function_lines_max {
                let at = line(code, at);
                offences.push(format!(
                    "{}:{at}: a function of {lines} lines, limit {function_lines_max}",
                    source.path
                ));
            }
        }
    }
    offences
}

/// Lines from `fn` to the end of the body; 0 where there is no body.
fn function_lines(code: &str) -> usize {
    let mut nested = 0_usize;
    for (at, character) in code.char_indices() {
        match character {
            '(' | '[' => nested += 1,
            ')' | ']' if nested == 0 => return 0,
            ')' | ']' => nested -= 1,
            ';' if nested == 0 => return 0,
            '{' if nested == 0 => return line(code, at + block(&code[at..]) - 1),
            _ => {}
        }
    }
    0
}

/// Places where unsafe code is written or allowed.
pub fn offences_of_unsafe(sources: &[Source]) -> Vec<String> {
    let mut offences = Vec::new();
    for source in sources {
        for word in ["unsafe", "unsafe_code"] {
            let found = words(&source.code, word).map(|at| line(&source.code, at));
            offences.extend(found.map(|at| format!("{}:{at}: `{word}`", source.path)));
        }
    }
    offences
}
