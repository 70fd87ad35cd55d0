//! `graceful-relay config`: whether the settings are good, and what they come to.

use clap::Subcommand;

use super::settings::Settings;

#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Say whether the settings are good, and what is wrong if not
    Check(Settings),
    /// Print every setting in effect, as a file
    Show(Settings),
}

impl Config {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Check(settings) => {
                let config = settings.load(None)?;
                match &config.file {
                    Some(file) => println!("The settings in {} are good.", file.display()),
                    None => println!("There is no settings file; the defaults are in effect."),
                }
            }
            Self::Show(settings) => print!("{}", settings.load(None)?.to_toml()),
        }
        Ok(())
    }
}
