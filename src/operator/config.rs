//! `graceful-relay config`: validation, the settings in effect, and the reference.

use std::fmt::Write;

use clap::{Args, Subcommand};

use crate::config_args::ConfigArgs;
use graceful_server::config;

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Validate the configuration
    Check(ConfigArgs),
    /// Print the settings in effect
    Show(Show),
    /// Describe every setting
    Reference {
        /// Print Markdown
        #[arg(long)]
        markdown: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Print the source of each setting
    #[arg(long)]
    effective: bool,
    /// Print JSON
    #[arg(long, requires = "effective")]
    json: bool,
    #[command(flatten)]
    config_args: ConfigArgs,
}

impl Config {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Check(settings) => check(&settings),
            Self::Show(show) => show.run(),
            Self::Reference { markdown: true } => {
                say(&markdown());
                Ok(())
            }
            Self::Reference { markdown: false } => {
                say(&plain());
                Ok(())
            }
        }
    }
}

fn check(config_args: &ConfigArgs) -> anyhow::Result<()> {
    let config = config_args.load(None)?;
    let files: Vec<_> = config
        .files
        .main
        .iter()
        .chain(&config.files.parts)
        .collect();
    match files.as_slice() {
        [] => println!("No configuration file; the defaults are in effect."),
        files => {
            let names: Vec<_> = files
                .iter()
                .map(|file| file.display().to_string())
                .collect();
            println!("The configuration in {} is valid.", names.join(", "));
        }
    }
    Ok(())
}

impl Show {
    fn run(self) -> anyhow::Result<()> {
        let config = self.config_args.load(None)?;
        if self.json {
            let all = config.effective().into_iter().map(
                |(name, value, origin)| serde_json::json!({ "setting": name, "value": value, "from": origin }),
            );
            println!("{}", serde_json::Value::from_iter(all));
        } else if self.effective {
            let all = config.effective();
            let width = all
                .iter()
                .map(|(name, value, _)| name.len() + value.chars().count())
                .max();
            let width = width.unwrap_or(0).min(60);
            let mut text = String::new();
            for (name, value, origin) in all {
                let gap = width.saturating_sub(name.len() + value.chars().count());
                let _ = writeln!(text, "{name} = {value}{:gap$}   # {origin}", "");
            }
            say(&text);
        } else {
            say(&config.to_toml());
        }
        Ok(())
    }
}

/// Ignores a closed pipe, as of `| head`.
fn say(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

const RELOADABLE: &str = "Takes effect on reload.";

fn plain() -> String {
    let mut text = String::new();
    let mut section = String::new();
    for option in config::reference() {
        if option.section != section {
            let gap = if section.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{gap}[{}]", option.section);
            section.clone_from(&option.section);
        }
        let _ = writeln!(text, "\n{} = {}", option.key, option.default);
        for line in &option.meaning {
            let _ = writeln!(text, "    {line}");
        }
        if option.reloadable {
            let _ = writeln!(text, "    {RELOADABLE}");
        }
    }
    text
}

/// `docs/reference/configuration.md`.
fn markdown() -> String {
    let mut page = HEADER.to_owned();
    let mut section = String::new();
    for option in config::reference() {
        if option.section != section {
            let _ = writeln!(page, "\n## {}", option.section);
            section.clone_from(&option.section);
        }
        let mark = if option.reloadable { " \u{21bb}" } else { "" };
        let _ = writeln!(
            page,
            "\n**`{section}.{}`**{mark}, default `{}`\n\nEnvironment: `{}`\n\n{}",
            option.key,
            option.default,
            option.variable(),
            description(&option.meaning)
        );
    }
    page + OTHER_VARIABLES
}

/// The description in Markdown: aligned lines of quoted values become a list.
fn description(lines: &[String]) -> String {
    let lines = lines.iter().map(|line| match line.split_once("\"  ") {
        Some((value, text)) if line.starts_with('"') => {
            format!("- `{value}\"`: {}", text.trim_start())
        }
        _ => match line.strip_prefix("    ") {
            Some(text) => format!("  {}", text.trim_start()),
            None => line.clone(),
        },
    });
    lines.collect::<Vec<_>>().join("\n")
}

const HEADER: &str = "\
# Configuration

This page lists every setting with its default and environment variable. It is generated by
`graceful-relay config reference --markdown` from [`config.example.toml`](../../config.example.toml),
which is also a file to start from.

## Order of precedence

The relay takes a setting from the first of these sources that sets it:

1. a command line flag;
2. the environment variable `GRACEFUL_RELAY_SECTION__KEY`; lists are separated by commas;
3. the files `config.d/*.toml` beside the configuration file, the last by name first;
4. the configuration file: `--config`, `GRACEFUL_RELAY_CONFIG` or
   `/etc/graceful-relay/config.toml` (on Windows
   `C:\\ProgramData\\Graceful Relay\\config.toml`);
5. the default.

`graceful-relay config check` reports every error with file, line and column.
`graceful-relay config show --effective` prints each setting in effect and its source.

## Values with units

| kind | examples |
|---|---|
| duration | `\"75s\"`, `\"10m\"`, `\"1h\"`, `\"30d\"`, `\"1h 30m\"` |
| size | `\"512 KiB\"`, `\"16 MiB\"`, `\"2 GB\"`, `\"0 B\"`; KiB, MiB, GiB and TiB are powers of 1024 |
| rate | `\"300/min\"`, `\"1000/s\"`, `\"60/h\"`, `\"16 MiB/s\"`, `\"unlimited\"` |
| percentage | `\"25%\"`, `\"99.9%\"` |

## Reload

`graceful-relay reload` and SIGHUP read the configuration again. Settings marked \u{21bb} take effect at
once, all others at the next start.
";

const OTHER_VARIABLES: &str = "
## Other environment variables

| variable | read by | meaning |
|---|---|---|
| `GRACEFUL_RELAY_CONFIG` | all commands but `client` | the configuration file, as `--config` |
| `GRACEFUL_RELAY_PROFILE` | `client` | the profile directory, as `--profile` |
| `RUST_LOG` | `serve` | log filter by module; overrides `log.level` |
| `NO_COLOR` | all commands | print without colors |
| `STATE_DIRECTORY` | all commands but `client` | the default data directory, from systemd |
| `CREDENTIALS_DIRECTORY` | `serve` | tokens as systemd credentials |
| `XDG_DATA_HOME`, `HOME` | all commands | default directories of a user |
| `LISTEN_FDS`, `LISTEN_PID` | `serve` | a socket from systemd, used instead of `server.listen` |
| `NOTIFY_SOCKET`, `WATCHDOG_USEC` | `serve` | state and watchdog messages to systemd |
| `SSL_CERT_FILE`, `SSL_CERT_DIR` | `serve`, `client` | root certificates instead of the system's |
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_in_docs_is_generated() {
        let page = include_str!("../../docs/reference/configuration.md");
        assert!(
            page == markdown(),
            "run graceful-relay config reference --markdown > docs/reference/configuration.md"
        );
    }

    #[test]
    fn every_option_is_described() {
        let folder = tempfile::tempdir().expect("a folder");
        let sources = config::Sources {
            flags: config::Flags {
                data_dir: Some(folder.path().to_owned()),
                listen: None,
            },
            file: None,
            ..config::Sources::default()
        };
        let settings = config::load(&sources).expect("defaults are good");
        let mut known: Vec<_> = settings
            .effective()
            .into_iter()
            .map(|(name, _, _)| name)
            .collect();
        let all = config::reference();
        let mut explained: Vec<_> = all
            .iter()
            .map(|option| format!("{}.{}", option.section, option.key))
            .collect();
        known.sort();
        explained.sort();
        assert_eq!(explained, known);
        assert!(
            all.iter().all(|option| !option.meaning.is_empty()),
            "{all:?}"
        );
        assert_eq!(all.iter().filter(|option| option.reloadable).count(), 4);
    }
}
