//! Every option in words, from the one place where they stand: `config.example.toml`.

use super::LIVE;

/// The file itself.
pub(super) const EXAMPLE: &str = include_str!("../../../../config.example.toml");

/// An option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Like `server`.
    pub section: String,
    /// Like `listen`.
    pub key: String,
    /// As it is written.
    pub default: String,
    /// What it means, a line each.
    pub meaning: Vec<String>,
    /// Whether a running relay takes it over when the settings are read again.
    pub live: bool,
}

/// All of them, in their order.
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
            let live = LIVE.contains(&format!("{section}.{key}").as_str());
            let meaning = std::mem::take(&mut meaning);
            let (section, key, default) = (section.clone(), key.to_owned(), default.to_owned());
            all.push(Described {
                section,
                key,
                default,
                meaning,
                live,
            });
        } else {
            meaning.clear();
        }
    }
    all
}
