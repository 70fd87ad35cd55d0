//! `graceful-relay papers`: manual pages and shell completions, made of the very definition of the command
//! line, for whoever packages the program.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::CommandLine;

/// The shells that packages bring completions for, with the names that these look for.
const SHELLS: [(Shell, &str); 3] = [
    (Shell::Bash, "graceful-relay.bash"),
    (Shell::Zsh, "_graceful-relay"),
    (Shell::Fish, "graceful-relay.fish"),
];

#[derive(Debug, Args)]
pub(super) struct Generate {
    /// The folder to write `man` and `completions` into
    #[arg(value_name = "FOLDER")]
    into: PathBuf,
}

impl Generate {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let cannot = || format!("cannot write into {}", self.into.display());
        write(&self.into).with_context(cannot)
    }
}

fn write(into: &Path) -> anyhow::Result<()> {
    let (man, completions) = (into.join("man"), into.join("completions"));
    for folder in [&man, &completions] {
        fs::create_dir_all(folder)?;
    }
    let mut command = CommandLine::command();
    for (shell, name) in SHELLS {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command, "graceful-relay", &mut text);
        fs::write(completions.join(name), text)?;
    }
    clap_mangen::generate_to(command, &man)?;
    // `help` has a page for each command that has one of its own.
    for page in fs::read_dir(&man)? {
        let page = page?.path();
        if page
            .file_name()
            .is_some_and(|name| name.to_string_lossy().contains("-help"))
        {
            fs::remove_file(page)?;
        }
    }
    Ok(())
}
