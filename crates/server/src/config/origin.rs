//! Parsing a TOML file so that each error names its line and column.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Errors, Origin};
use super::nearest::nearest;
use super::renamed::{self, RENAMED_SECTIONS};

/// Where each option was set, by `section.key`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Origins(HashMap<String, Origin>);

impl Origins {
    pub(super) fn of(&self, key: &str) -> Origin {
        self.0.get(key).cloned().unwrap_or(Origin::Default)
    }

    pub(super) fn note(&mut self, key: String, origin: Origin) {
        self.0.insert(key, origin);
    }
}

/// A file's path and text.
struct Text<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Text<'_> {
    fn place(&self, span: &Range<usize>) -> Origin {
        let start = self.text.floor_char_boundary(span.start);
        let before = &self.text[..start];
        let line = before.matches('\n').count() + 1;
        let column = before
            .chars()
            .rev()
            .take_while(|letter| *letter != '\n')
            .count()
            + 1;
        Origin::File {
            path: self.path.to_path_buf(),
            line,
            column,
        }
    }
}

/// Returns the options of a file that exist and have the right type. Notes the place of each, and an error
/// for each of the others. `None`: the file is not TOML.
pub(super) fn read_text(
    path: &Path,
    text: &str,
    known: &toml::Table,
    origins: &mut Origins,
    errors: &mut Errors,
) -> Option<toml::Table> {
    let text = Text { path, text };
    let wrong = |error: toml::de::Error| {
        ConfigError::new(text.place(&error.span().unwrap_or(0..0)), error.message())
    };
    let document = errors.take(DeTable::parse(text.text).map_err(wrong))?;
    let mut settings: toml::Table = errors.take(toml::from_str(text.text).map_err(wrong))?;
    for (name, section) in document.get_ref() {
        let options = settings
            .get_mut(name.get_ref().as_ref())
            .and_then(toml::Value::as_table_mut);
        let good = check_section(&text, name, section, known, origins, errors);
        options
            .into_iter()
            .for_each(|options| options.retain(|key, _| good.contains(key)));
    }
    Some(settings)
}

/// The valid keys of a section.
fn check_section(
    text: &Text<'_>,
    name: &Spanned<std::borrow::Cow<'_, str>>,
    section: &Spanned<DeValue<'_>>,
    known: &toml::Table,
    origins: &mut Origins,
    errors: &mut Errors,
) -> HashSet<String> {
    let place = text.place(&name.span());
    let name = name.get_ref().as_ref();
    let mut good = HashSet::new();
    let Some(options) = known.get(name).and_then(toml::Value::as_table) else {
        if note_renamed_section(text, name, section, known, errors) {
            return good;
        }
        errors.note(ConfigError::new(
            place,
            unknown_section(name, section.get_ref(), known),
        ));
        return good;
    };
    let Some(settings) = section.get_ref().as_table() else {
        let text = format!("`{name}` is a section; write `[{name}]` on a line of its own");
        errors.note(ConfigError::new(place, text));
        return good;
    };
    for (key, value) in settings {
        let place = text.place(&key.span());
        let key = key.get_ref().as_ref();
        let Some(default) = options.get(key) else {
            errors.note(ConfigError::new(place, unknown_key(name, key, known)));
            continue;
        };
        let full = format!("{name}.{key}");
        let kind = value.get_ref().type_str();
        if kind != default.type_str() {
            let place = text.place(&value.span());
            let wanted = described(default);
            errors.note(ConfigError::new(
                place,
                format!("`{full}` must be {wanted}, not of type {kind}"),
            ));
            continue;
        }
        origins.note(full, place);
        good.insert(key.to_owned());
    }
    good
}

/// Notes the new name of each option in a section that is gone. False: there never was such a section.
fn note_renamed_section(
    text: &Text<'_>,
    name: &str,
    section: &Spanned<DeValue<'_>>,
    known: &toml::Table,
    errors: &mut Errors,
) -> bool {
    let Some((_, new)) = RENAMED_SECTIONS.iter().find(|(old, _)| *old == name) else {
        return false;
    };
    let keys = section.get_ref().as_table().into_iter().flatten();
    let mut none = true;
    for (key, _) in keys {
        let place = text.place(&key.span());
        errors.note(ConfigError::new(
            place,
            unknown_key(name, key.get_ref(), known),
        ));
        none = false;
    }
    if none {
        let place = text.place(&section.span());
        errors.note(ConfigError::new(place, format!("[{name}] is now [{new}]")));
    }
    true
}

fn unknown_section(name: &str, value: &DeValue<'_>, known: &toml::Table) -> String {
    if !value.is_table()
        && let Some(sections) = sections_with(name, known)
    {
        return format!("`{name}` belongs in the section {sections}");
    }
    let near = nearest(name, known.keys().map(String::as_str));
    match near {
        Some(near) => format!("there is no section [{name}]; did you mean [{near}]?"),
        None => {
            let sections: Vec<String> =
                known.keys().map(|section| format!("[{section}]")).collect();
            format!(
                "there is no section [{name}]; there are {}",
                sections.join(", ")
            )
        }
    }
}

pub(super) fn unknown_key(section: &str, key: &str, known: &toml::Table) -> String {
    if let Some((new_section, new_key)) = renamed::new_name(section, key) {
        let default = &known[new_section][new_key];
        let unit = match renamed::has_unit(default) {
            true => format!(", with a unit: {new_key} = {default}"),
            false => String::new(),
        };
        return format!("`{section}.{key}` is now `{new_section}.{new_key}`{unit}");
    }
    if let Some(right) = sections_with(key, known) {
        return format!(
            "there is no setting `{section}.{key}`; `{key}` belongs in the section {right}"
        );
    }
    let options = known.get(section).and_then(toml::Value::as_table);
    let names = || {
        options
            .into_iter()
            .flat_map(toml::Table::keys)
            .map(String::as_str)
    };
    match nearest(key, names()) {
        Some(near) => format!("there is no setting `{section}.{key}`; did you mean `{near}`?"),
        None => {
            let names: Vec<&str> = names().collect();
            format!(
                "there is no setting `{section}.{key}`; [{section}] has {}",
                names.join(", ")
            )
        }
    }
}

/// The sections that have a key of this name, in words.
pub(super) fn sections_with(key: &str, known: &toml::Table) -> Option<String> {
    let right = known
        .iter()
        .filter(|(_, options)| options.get(key).is_some());
    let right: Vec<String> = right.map(|(section, _)| format!("[{section}]")).collect();
    (!right.is_empty()).then(|| right.join(" or "))
}

/// The kind of value that an option takes, in words.
pub(super) fn described(default: &toml::Value) -> String {
    match default {
        toml::Value::Boolean(_) => "true or false".to_owned(),
        toml::Value::Integer(_) => "a whole number without quotes".to_owned(),
        toml::Value::Array(_) => "a list of strings, like [\"one\", \"two\"]".to_owned(),
        toml::Value::String(text) if !text.is_empty() => format!("a string, like {text:?}"),
        _ => "a string in quotes".to_owned(),
    }
}
