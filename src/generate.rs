//! `graceful-relay generate`: manual pages and shell completions for packages, from the definition of the
//! command line.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Command, Subcommand};
use clap_complete::Shell;

/// Shells, with the file names that they load completions from.
const SHELLS: [(Shell, &str); 3] = [
    (Shell::Bash, "graceful-relay.bash"),
    (Shell::Zsh, "_graceful-relay"),
    (Shell::Fish, "graceful-relay.fish"),
];

#[derive(Debug, Subcommand)]
pub(crate) enum Generate {
    /// Write manual pages
    Man {
        /// Output directory
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Write shell completions
    Completions {
        /// Output directory
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
}

impl Generate {
    /// Writes the pages of `program`, the whole command line.
    pub(crate) fn run(self, program: Command) -> anyhow::Result<()> {
        match self {
            Self::Man { dir } => {
                man(program, &dir).with_context(|| format!("cannot write {}", dir.display()))
            }
            Self::Completions { dir } => completions(program, &dir)
                .with_context(|| format!("cannot write {}", dir.display())),
        }
    }
}

fn man(program: Command, dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir)?;
    clap_mangen::generate_to(program, dir)?;
    // `help` has a page for each command, and each command has its own already.
    for page in fs::read_dir(dir)? {
        let page = page?.path();
        let name = page.file_name().unwrap_or_default().to_string_lossy();
        if name.contains("-help") {
            fs::remove_file(&page)?;
        }
    }
    Ok(())
}

fn completions(mut program: Command, dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir)?;
    for (shell, name) in SHELLS {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut program, "graceful-relay", &mut text);
        fs::write(dir.join(name), text)?;
    }
    Ok(())
}
