//! Where settings come from, the later winning over the earlier: defaults, file, environment, flags.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, ConfigErrors, Found, Origin};
use super::folder::settings_file;
use super::nearest::nearest;
use super::origin::{Origins, described, read_text, sections_with, unknown_key};
use super::raw::{Raw, defaults};
use super::validate::validate;
use super::{Config, FILE_VARIABLE, Files, PROFILE_VARIABLE, Surroundings, VARIABLE_PREFIX};

/// Between section and key in a variable's name.
const SEPARATOR: &str = "__";

/// The folder beside the file, for parts of it.
const PARTS: &str = "config.d";

/// Options that name a file of a secret, and the credentials of systemd that may stand for them.
const CREDENTIALS: [(&str, &str, &str); 2] = [
    ("metrics", "token_file", "metrics-token"),
    ("health", "status_token_file", "status-token"),
];

/// What was said on the command line.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--listen`
    pub listen: Option<String>,
    /// `--data`
    pub data: Option<PathBuf>,
}

/// Everything that settings are made from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A file that must be there.
    pub file: Option<PathBuf>,
    /// The environment: variables that do not begin with our prefix are passed over.
    pub environment: Vec<(OsString, OsString)>,
    /// The command line.
    pub flags: Flags,
    /// What decides the folder when nobody chose one.
    pub surroundings: Surroundings,
}

/// Reads and checks the settings.
///
/// # Errors
/// [`ConfigErrors`]: all that is wrong, each with its place.
pub fn load(sources: &Sources) -> Result<Config, ConfigErrors> {
    let known = defaults();
    let (mut origins, mut found) = (Origins::default(), Found::default());
    let mut settings = known.clone();
    let files = overlay_files(sources, &known, &mut settings, &mut origins, &mut found);
    overlay_environment(
        &sources.environment,
        &known,
        &mut settings,
        &mut origins,
        &mut found,
    );
    overlay_flags(&sources.flags, &mut settings, &mut origins, &mut found);
    overlay_credentials(&sources.surroundings, &mut settings, &mut origins);
    let raw = to_raw(&mut settings, &known, &origins, &mut found);
    // What a file that could not be read would have said, nobody knows: what is missing may stand there.
    let (Some(raw), Some(files)) = (raw, files) else {
        return Err(found.into_errors());
    };
    validate(raw, origins, &sources.surroundings, files, found).map_err(Found::into_errors)
}

/// Lays the file and the parts beside it over the settings. `None`: one of them could not be read.
fn overlay_files(
    sources: &Sources,
    known: &toml::Table,
    settings: &mut toml::Table,
    origins: &mut Origins,
    found: &mut Found,
) -> Option<Files> {
    let variable = sources
        .environment
        .iter()
        .find(|(name, _)| name == FILE_VARIABLE);
    let named = sources
        .file
        .clone()
        .or_else(|| variable.map(|(_, path)| PathBuf::from(path)));
    let path = &named.clone().unwrap_or_else(settings_file);
    let mut files = Files::default();
    let mut whole = true;
    match std::fs::read_to_string(path) {
        Ok(text) => {
            whole &= overlay_text(path, &text, known, settings, origins, found);
            files.main = Some(path.to_path_buf());
        }
        Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => {}
        Err(error) => {
            whole = false;
            found.note(ConfigError::unreadable(path.to_path_buf(), &error));
        }
    }
    for part in found.take(parts(path))? {
        let text = std::fs::read_to_string(&part);
        let text = text.map_err(|error| ConfigError::unreadable(part.clone(), &error));
        whole &= found
            .take(text)
            .is_some_and(|text| overlay_text(&part, &text, known, settings, origins, found));
        files.parts.push(part);
    }
    whole.then_some(files)
}

/// Whether it could be read.
fn overlay_text(
    path: &Path,
    text: &str,
    known: &toml::Table,
    settings: &mut toml::Table,
    origins: &mut Origins,
    found: &mut Found,
) -> bool {
    let Some(read) = read_text(path, text, known, origins, found) else {
        return false;
    };
    for (section, options) in read {
        for (key, value) in options.as_table().into_iter().flatten() {
            set(settings, &section, key, value.clone());
        }
    }
    true
}

/// The files in the folder beside the file, by name: each wins over those before it.
fn parts(file: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let folder = file.with_file_name(PARTS);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ConfigError::unreadable(folder, &error)),
    };
    let mut parts = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|error| ConfigError::unreadable(folder.clone(), &error))?
            .path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            parts.push(path);
        }
    }
    parts.sort();
    Ok(parts)
}

fn overlay_environment(
    environment: &[(OsString, OsString)],
    known: &toml::Table,
    settings: &mut toml::Table,
    origins: &mut Origins,
    found: &mut Found,
) {
    for (name, value) in environment {
        let Some(name) = name
            .to_str()
            .filter(|name| name.starts_with(VARIABLE_PREFIX))
        else {
            continue;
        };
        if name == FILE_VARIABLE || name == PROFILE_VARIABLE {
            continue;
        }
        let origin = Origin::Variable(name.to_owned());
        let read = read_variable(name, value, known)
            .map_err(|text| ConfigError::new(origin.clone(), text));
        if let Some((section, key, value)) = found.take(read) {
            set(settings, &section, &key, value);
            origins.note(format!("{section}.{key}"), origin);
        }
    }
}

/// Section, key and value, or what is wrong.
fn read_variable(
    name: &str,
    value: &OsStr,
    known: &toml::Table,
) -> Result<(String, String, toml::Value), String> {
    let (section, key) = option_of(name, known)?;
    let value = value.to_str().ok_or("its value is not UTF-8")?;
    let default = &known[&section][&key];
    let value = parse(value, default)
        .ok_or_else(|| format!("`{section}.{key}` must be {}", described_bare(default)))?;
    Ok((section, key, value))
}

/// Section and key that a variable stands for.
fn option_of(variable: &str, known: &toml::Table) -> Result<(String, String), String> {
    let lower = variable[VARIABLE_PREFIX.len()..].to_lowercase();
    if let Some((section, key)) = lower.split_once(SEPARATOR)
        && let Some(options) = known.get(section)
    {
        if options.get(key).is_some() {
            return Ok((section.to_owned(), key.to_owned()));
        }
        if sections_with(key, known).is_some() || nearest_variable(variable, known).is_none() {
            return Err(unknown_key(section, key, known));
        }
    }
    Err(match nearest_variable(variable, known) {
        Some(near) => format!("no option has this name; did you mean {near}?"),
        None => format!(
            "no option has this name; variables are named {VARIABLE_PREFIX}SECTION{SEPARATOR}KEY, \
             and `graceful-relay config show` lists sections and keys"
        ),
    })
}

fn nearest_variable(variable: &str, known: &toml::Table) -> Option<String> {
    let all: Vec<String> = known
        .iter()
        .flat_map(|(section, options)| {
            let keys = options.as_table().into_iter().flat_map(toml::Table::keys);
            keys.map(move |key| {
                format!("{VARIABLE_PREFIX}{section}{SEPARATOR}{key}").to_uppercase()
            })
        })
        .chain([FILE_VARIABLE.to_owned()])
        .collect();
    nearest(variable, all.iter().map(String::as_str)).map(str::to_owned)
}

/// A variable's text as a value of the option's type. A list is separated by commas.
fn parse(text: &str, default: &toml::Value) -> Option<toml::Value> {
    let text = text.trim();
    Some(match default {
        toml::Value::Boolean(_) => toml::Value::Boolean(text.parse().ok()?),
        toml::Value::Integer(_) => toml::Value::Integer(text.replace('_', "").parse().ok()?),
        toml::Value::Array(_) => {
            let items = text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty());
            toml::Value::Array(
                items
                    .map(|item| toml::Value::String(item.to_owned()))
                    .collect(),
            )
        }
        _ => toml::Value::String(text.to_owned()),
    })
}

fn described_bare(default: &toml::Value) -> &'static str {
    match default {
        toml::Value::Integer(_) => "a whole number",
        other => described(other),
    }
}

fn overlay_flags(
    flags: &Flags,
    settings: &mut toml::Table,
    origins: &mut Origins,
    found: &mut Found,
) {
    if let Some(listen) = &flags.listen {
        set(
            settings,
            "server",
            "listen",
            toml::Value::String(listen.clone()),
        );
        origins.note("server.listen".to_owned(), Origin::Flag("--listen"));
    }
    if let Some(data) = &flags.data {
        // What is typed is meant from where one stands; what is kept must hold from anywhere.
        let absolute = std::path::absolute(data).ok();
        let folder = absolute
            .as_deref()
            .and_then(Path::to_str)
            .map(str::to_owned);
        let folder = folder.ok_or_else(|| {
            ConfigError::new(
                Origin::Flag("--data"),
                "this is not a folder's name (in UTF-8)",
            )
        });
        if let Some(folder) = found.take(folder) {
            set(settings, "storage", "folder", toml::Value::String(folder));
            origins.note("storage.folder".to_owned(), Origin::Flag("--data"));
        }
    }
}

/// Files of secrets that a service manager hands over, where nobody named another.
fn overlay_credentials(
    surroundings: &Surroundings,
    settings: &mut toml::Table,
    origins: &mut Origins,
) {
    let Some(folder) = &surroundings.credentials else {
        return;
    };
    for (section, key, name) in CREDENTIALS {
        let file = Path::new(folder).join(name);
        let unset = settings[section][key].as_str() == Some("");
        if let Some(file) = file.to_str().filter(|_| unset && file.exists()) {
            set(settings, section, key, toml::Value::String(file.to_owned()));
            origins.note(format!("{section}.{key}"), Origin::Credential(name));
        }
    }
}

fn set(settings: &mut toml::Table, section: &str, key: &str, value: toml::Value) {
    if let Some(options) = settings
        .get_mut(section)
        .and_then(toml::Value::as_table_mut)
    {
        options.insert(key.to_owned(), value);
    }
}

/// Option by option, so that each that does not fit is known by its name; it is set aside.
fn to_raw(
    settings: &mut toml::Table,
    known: &toml::Table,
    origins: &Origins,
    found: &mut Found,
) -> Option<Raw> {
    for (section, options) in settings.iter_mut() {
        for (key, value) in options.as_table_mut().into_iter().flatten() {
            if fits(section, key, value) {
                continue;
            }
            let full = format!("{section}.{key}");
            let text = match value {
                toml::Value::Integer(..0) => "must not be negative",
                toml::Value::Integer(_) => "is too large a number",
                _ => "is not what it should be",
            };
            found.note(ConfigError::new(
                origins.of(&full),
                format!("`{full}` {text}"),
            ));
            *value = known[section.as_str()][key.as_str()].clone();
        }
    }
    let raw = settings.clone().try_into::<Raw>();
    found.take(raw.map_err(|error| ConfigError::new(Origin::Default, error.message())))
}

/// Whether this one setting, with defaults for all others, has the right type and range.
fn fits(section: &str, key: &str, value: &toml::Value) -> bool {
    let mut alone = defaults();
    set(&mut alone, section, key, value.clone());
    alone.try_into::<Raw>().is_ok()
}
