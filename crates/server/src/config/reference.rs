//! Every option with its description, from `config.example.toml`.

use super::RELOADABLE;
use super::sources::variable_of;

/// The file itself.
pub(super) const EXAMPLE: &str = include_str!("../../../../config.example.toml");

/// An option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Like `server`.
    pub section: String,
    /// Like `listen`.
    pub key: String,
    /// As the file has it.
    pub default: String,
    /// The description, by line.
    pub meaning: Vec<String>,
    /// Whether `reload` applies it to a running relay.
    pub reloadable: bool,
}

impl Described {
    /// The environment variable.
    pub fn variable(&self) -> String {
        variable_of(&self.section, &self.key)
    }
}

/// All options, in the order of the file.
pub fn reference() -> Vec<Described> {
    let (mut all, mut section, mut meaning) = (Vec::new(), String::new(), Vec::<String>::new());
    for line in EXAMPLE.lines() {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            name.clone_into(&mut section);
            meaning.clear();
        } else if let Some(text) = line.strip_prefix("# ").or((line == "#").then_some("")) {
            meaning.push(text.to_owned());
        } else if let Some((key, default)) = line
            .strip_prefix('#')
            .and_then(|rest| rest.split_once(" = "))
        {
            let reloadable = RELOADABLE.contains(&format!("{section}.{key}").as_str());
            let meaning = std::mem::take(&mut meaning);
            let (section, key, default) = (section.clone(), key.to_owned(), default.to_owned());
            all.push(Described {
                section,
                key,
                default,
                meaning,
                reloadable,
            });
        } else {
            meaning.clear();
        }
    }
    all
}
