//! `graceful-relay config`: whether the settings are good, what they come to, and what there is to set.

use std::fmt::Write;

use clap::{Args, Subcommand};

use super::config_args::ConfigArgs;
use graceful_server::config::{self, Described};

#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Say whether the settings are good, and everything that is wrong if not
    Check(ConfigArgs),
    /// Print every setting in effect, as a file
    Show(Show),
    /// Explain every option
    Reference {
        /// As a page of Markdown
        #[arg(long)]
        markdown: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// With where each came from: a file and line, the environment, a flag, or the default
    #[arg(long)]
    effective: bool,
    /// The same as JSON, for programs
    #[arg(long, requires = "effective")]
    json: bool,
    #[command(flatten)]
    config_args: ConfigArgs,
}

impl Config {
    pub(super) fn run(self) -> anyhow::Result<()> {
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
        [] => println!("There is no settings file; the defaults are in effect."),
        files => {
            let names: Vec<_> = files
                .iter()
                .map(|file| file.display().to_string())
                .collect();
            println!("The settings in {} are good.", names.join(", "));
        }
    }
    Ok(())
}

impl Show {
    fn run(self) -> anyhow::Result<()> {
        let config = self.config_args.load(None)?;
        if self.json {
            let all = config.effective().into_iter().map(
                |(name, value, origin)| serde_json::json!({ "option": name, "value": value, "from": origin }),
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

/// Who has read enough may leave: `| head` is no mistake.
fn say(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

const LIVE: &str = "Changes when the settings are read again; others need a restart.";

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
        if option.live {
            let _ = writeln!(text, "    {LIVE}");
        }
    }
    text
}

/// `docs/reference/configuration.md`.
fn markdown() -> String {
    let mut page = "# Settings\n\nEvery option, with its default. Made by `graceful-relay config reference --markdown` from \
        [`config.example.toml`](../../config.example.toml),\nwhich is a file to start from.\n\n\
        A setting comes from the first of these that has it: a flag; the environment, as\n\
        `GRACEFUL_RELAY_SECTION__KEY`; the files `config.d/*.toml` beside the file, the last by name first; the file\n\
        (`--config`, `GRACEFUL_RELAY_CONFIG` or `/etc/graceful-relay/config.toml`, on Windows\n\
        `C:\\ProgramData\\Graceful Relay\\config.toml`); the default.\n\
        `graceful-relay config check` tells all that is wrong, each with file, line and column;\n\
        `graceful-relay config show --effective` tells what is in effect, and where it came from.\n\n\
        A running relay reads them again at `graceful-relay reload` or SIGHUP. What is marked \u{21bb} changes then, the rest\n\
        with the next start.\n"
        .to_owned();
    let mut section = String::new();
    for Described {
        section: of,
        key,
        default,
        meaning,
        live,
    } in config::reference()
    {
        if of != section {
            let _ = writeln!(page, "\n## {of}");
            section = of;
        }
        let mark = if live { " \u{21bb}" } else { "" };
        let _ = writeln!(
            page,
            "\n**`{section}.{key}`**{mark}, default `{default}`\n\n{}",
            meaning.join("\n")
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_docs_is_this_one() {
        let page = include_str!("../docs/reference/configuration.md");
        assert!(
            page == markdown(),
            "graceful-relay config reference --markdown > docs/reference/configuration.md"
        );
    }

    #[test]
    fn every_option_that_can_be_set_is_explained() {
        let folder = tempfile::tempdir().expect("a folder");
        let sources = config::Sources {
            flags: config::Flags {
                data: Some(folder.path().to_owned()),
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
        assert_eq!(all.iter().filter(|option| option.live).count(), 4);
    }
}
