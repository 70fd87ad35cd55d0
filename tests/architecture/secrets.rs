//! Fields with the name of a secret must not be printed by a derived `Debug`.

use super::source::{Source, block, line, words};

/// Parts of the names of secrets.
const SECRET_NAMES: &[&str] = &[
    "invit",
    "link",
    "passphrase",
    "password",
    "private",
    "psk",
    "secret",
    "seed",
    "token",
    "words",
];

/// Types with a harmless `Debug`. All others redact their content or are tested in `tests/privacy`.
const BARE_TYPES: &[&str] = &[
    "Arc",
    "Box",
    "Bytes",
    "Option",
    "String",
    "Vec",
    "Zeroizing",
    "str",
    "u8",
];

/// Returns fields and variants of types with a derived `Debug` that would print a secret.
pub fn offences(sources: &[Source]) -> Vec<String> {
    let mut offences = Vec::new();
    for source in sources {
        let code = &source.code_without_tests;
        for at in words(code, "derive") {
            let derived = &code[at..at + code[at..].find(']').unwrap_or(0)];
            if words(derived, "Debug").next().is_none() {
                continue;
            }
            let item = &code[at..at + item_bytes(&code[at..])];
            let shown = fields(item).filter(|(name, types)| is_secret(name) && is_bare(types));
            let at = line(code, at);
            offences.extend(
                shown.map(|(name, _)| {
                    format!("{}:{at}: a derived Debug shows `{name}`", source.path)
                }),
            );
        }
    }
    offences
}

/// Returns the attributes and the item they belong to.
fn item_bytes(code: &str) -> usize {
    match code.find(['{', ';']) {
        Some(at) if code[at..].starts_with('{') => at + block(&code[at..]),
        end => end.unwrap_or(code.len()),
    }
}

/// Returns the first word of each line with a type, and the words of the type.
fn fields(item: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    item.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| {
            line.split([',', '{']).filter_map(|field| {
                let (name, types) = field.split_once(':').or_else(|| field.split_once('('))?;
                let name = name.split_whitespace().next_back()?;
                let types =
                    types.split(|character: char| !character.is_alphanumeric() && character != '_');
                Some((
                    name,
                    types
                        .filter(|word| word.starts_with(char::is_alphabetic))
                        .collect(),
                ))
            })
        })
}

fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    // The location of a secret is no secret.
    !name.ends_with("_file") && SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

fn is_bare(types: &[&str]) -> bool {
    !types.is_empty() && types.iter().all(|word| BARE_TYPES.contains(word))
}
