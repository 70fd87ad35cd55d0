//! Configuration sources: defaults, file, environment, flags. Later ones override earlier ones.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, ConfigErrors, Errors, Origin};
use super::nearest::nearest;
use super::origin::{Origins, described, read_text, sections_with, unknown_key};
use super::paths::{ProcessEnv, config_file};
use super::raw::{Raw, defaults};
use super::renamed;
use super::validate::validate;
use super::{Config, FILE_VARIABLE, Files, PROFILE_VARIABLE, VARIABLE_PREFIX};

/// Between section and key in a variable's name.
const SEPARATOR: &str = "__";

/// The directory of further files, beside the file.
const PARTS: &str = "config.d";

/// Options that name a secret file, and the systemd credentials that replace them.
const CREDENTIALS: [(&str, &str, &str); 2] = [
    ("metrics", "token_file", "metrics-token"),
    ("health", "status_token_file", "status-token"),
];

/// Options from the command line.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--listen`
    pub listen: Option<String>,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
}

/// Everything that a configuration is loaded from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A file that must exist.
    pub file: Option<PathBuf>,
    /// Environment variables; only those with [`VARIABLE_PREFIX`] count.
    pub environment: Vec<(OsString, OsString)>,
    /// The command line.
    pub flags: Flags,
    /// Decides default paths.
    pub env: ProcessEnv,
}

/// Loads and validates the configuration.
///
/// # Errors
/// [`ConfigErrors`]: every error, with its place.
pub fn load(sources: &Sources) -> Result<Config, ConfigErrors> {
    let known = defaults();
    let (mut origins, mut errors) = (Origins::default(), Errors::default());
    let mut settings = known.clone();
    let files = overlay_files(sources, &known, &mut settings, &mut origins, &mut errors);
    overlay_environment(
        &sources.environment,
        &known,
        &mut settings,
        &mut origins,
        &mut errors,
    );
    overlay_flags(&sources.flags, &mut settings, &mut origins, &mut errors);
    overlay_credentials(&sources.env, &mut settings, &mut origins);
    let raw = to_raw(&mut settings, &known, &origins, &mut errors);
    // An unreadable file may set what is missing, so nothing more can be checked.
    let (Some(raw), Some(files)) = (raw, files) else {
        return Err(errors.into_errors());
    };
    validate(raw, origins, &sources.env, files, errors).map_err(Errors::into_errors)
}

/// Applies the file and those in `config.d`. `None`: one of them could not be read.
fn overlay_files(
    sources: &Sources,
    known: &toml::Table,
    settings: &mut toml::Table,
    origins: &mut Origins,
    errors: &mut Errors,
) -> Option<Files> {
    let variable = sources
        .environment
        .iter()
        .find(|(name, _)| name == FILE_VARIABLE);
    let named = sources
        .file
        .clone()
        .or_else(|| variable.map(|(_, path)| PathBuf::from(path)));
    let path = &named.clone().unwrap_or_else(config_file);
    let mut files = Files::default();
    let mut whole = true;
    match std::fs::read_to_string(path) {
        Ok(text) => {
            whole &= overlay_text(path, &text, known, settings, origins, errors);
            files.main = Some(path.to_path_buf());
        }
        Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => {}
        Err(error) => {
            whole = false;
            errors.note(ConfigError::unreadable(path.to_path_buf(), &error));
        }
    }
    for part in errors.take(parts(path))? {
        let text = std::fs::read_to_string(&part);
        let text = text.map_err(|error| ConfigError::unreadable(part.clone(), &error));
        whole &= errors
            .take(text)
            .is_some_and(|text| overlay_text(&part, &text, known, settings, origins, errors));
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
    errors: &mut Errors,
) -> bool {
    let Some(read) = read_text(path, text, known, origins, errors) else {
        return false;
    };
    for (section, options) in read {
        for (key, value) in options.as_table().into_iter().flatten() {
            set(settings, &section, key, value.clone());
        }
    }
    true
}

/// The files in `config.d`, by name: later ones override earlier ones.
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
    errors: &mut Errors,
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
        if let Some((section, key, value)) = errors.take(read) {
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

/// The section and key of a variable.
fn option_of(variable: &str, known: &toml::Table) -> Result<(String, String), String> {
    let lower = variable[VARIABLE_PREFIX.len()..].to_lowercase();
    let old = lower.split_once(SEPARATOR);
    if let Some((section, key)) = old.and_then(|(section, key)| renamed::new_name(section, key)) {
        let (new, default) = (variable_of(section, key), &known[section][key]);
        let unit = match renamed::has_unit(default) {
            true => format!(
                ", with a unit: {new}={}",
                default.as_str().unwrap_or_default()
            ),
            false => String::new(),
        };
        return Err(format!("this is now {new}{unit}"));
    }
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
        Some(near) => format!("there is no such option; did you mean {near}?"),
        None => format!(
            "there is no such option; variables are named {VARIABLE_PREFIX}SECTION{SEPARATOR}KEY, \
             and `graceful-relay config show` lists sections and keys"
        ),
    })
}

/// The environment variable of an option.
pub(super) fn variable_of(section: &str, key: &str) -> String {
    format!("{VARIABLE_PREFIX}{section}{SEPARATOR}{key}").to_uppercase()
}

fn nearest_variable(variable: &str, known: &toml::Table) -> Option<String> {
    let all: Vec<String> = known
        .iter()
        .flat_map(|(section, options)| {
            let keys = options.as_table().into_iter().flat_map(toml::Table::keys);
            keys.map(move |key| variable_of(section, key))
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

fn described_bare(default: &toml::Value) -> String {
    match default {
        toml::Value::Integer(_) => "a whole number".to_owned(),
        other => described(other),
    }
}

fn overlay_flags(
    flags: &Flags,
    settings: &mut toml::Table,
    origins: &mut Origins,
    errors: &mut Errors,
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
    if let Some(data) = &flags.data_dir {
        // A relative path on the command line is relative to the current directory.
        let absolute = std::path::absolute(data).ok();
        let folder = absolute
            .as_deref()
            .and_then(Path::to_str)
            .map(str::to_owned);
        let folder = folder
            .ok_or_else(|| ConfigError::new(Origin::Flag("--data-dir"), "is not a path in UTF-8"));
        if let Some(folder) = errors.take(folder) {
            set(settings, "storage", "data_dir", toml::Value::String(folder));
            origins.note("storage.data_dir".to_owned(), Origin::Flag("--data-dir"));
        }
    }
}

/// Secret files from the service manager, where no other is set.
fn overlay_credentials(env: &ProcessEnv, settings: &mut toml::Table, origins: &mut Origins) {
    let Some(folder) = &env.credentials else {
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

/// Checks option by option, so that each error names its option; invalid ones get their defaults.
fn to_raw(
    settings: &mut toml::Table,
    known: &toml::Table,
    origins: &Origins,
    errors: &mut Errors,
) -> Option<Raw> {
    for (section, options) in settings.iter_mut() {
        for (key, value) in options.as_table_mut().into_iter().flatten() {
            let Err(reason) = parse_alone(section, key, value) else {
                continue;
            };
            let full = format!("{section}.{key}");
            let text = match value {
                toml::Value::Integer(..0) => "must not be negative",
                toml::Value::Integer(_) => "is too large a number",
                toml::Value::String(_) => reason.as_str(),
                _ => "must be a list of strings",
            };
            errors.note(ConfigError::new(
                origins.of(&full),
                format!("`{full}` {text}"),
            ));
            *value = known[section.as_str()][key.as_str()].clone();
        }
    }
    let raw = settings.clone().try_into::<Raw>();
    errors.take(raw.map_err(|error| ConfigError::new(Origin::Default, error.message())))
}

/// Whether this one option has a valid form, with defaults for all others.
fn parse_alone(section: &str, key: &str, value: &toml::Value) -> Result<(), String> {
    let mut alone = defaults();
    set(&mut alone, section, key, value.clone());
    let raw = alone.try_into::<Raw>();
    raw.map(drop).map_err(|error| error.message().to_owned())
}
