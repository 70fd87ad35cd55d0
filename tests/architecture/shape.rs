//! Sizes, and the one lint that nobody may lift.

use super::source::{Source, block, line, words};

/// Lines of a file, its tests left out.
pub const FILE_LINES_MAX: usize = 800;
/// Lines of a function, from `fn` to its closing brace.
pub const FUNCTION_LINES_MAX: usize = 120;

/// Files and functions that are too long.
pub fn offences(sources: &[Source]) -> Vec<String> {
    let mut offences = Vec::new();
    for source in sources {
        let code = &source.code_without_tests;
        let lines = code.lines().count();
        if lines > FILE_LINES_MAX {
            offences.push(format!(
                "{}: {lines} lines without its tests, {FILE_LINES_MAX} allowed",
                source.path
            ));
        }
        for at in words(code, "fn") {
            let lines = function_lines(&code[at..]);
            if lines > FUNCTION_LINES_MAX {
                let at = line(code, at);
                offences.push(format!(
                    "{}:{at}: a function of {lines} lines, {FUNCTION_LINES_MAX} allowed",
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
