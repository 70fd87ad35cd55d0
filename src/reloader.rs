//! Reading the settings again while the relay runs: what can change at once does, the rest is named.

use std::sync::Mutex;

use super::config_args::ConfigArgs;
use super::logging::LogLevelHandle;
use graceful_server::config::Config;
use graceful_server::http::ReloadHandle;

/// The settings that a running relay was started with, and a handle to what may change.
pub(super) struct Reloader {
    config_args: ConfigArgs,
    listen: Option<String>,
    live: ReloadHandle,
    log_level: LogLevelHandle,
    started_with: Mutex<Config>,
}

impl Reloader {
    pub(super) fn new(
        config_args: ConfigArgs,
        listen: Option<String>,
        live: ReloadHandle,
        log_level: LogLevelHandle,
        config: Config,
    ) -> Self {
        Self {
            config_args,
            listen,
            live,
            log_level,
            started_with: Mutex::new(config),
        }
    }

    /// Reads them again. What it says is for the operator.
    ///
    /// # Errors
    /// What is wrong with them; all old settings stay.
    pub(super) fn again(&self) -> Result<String, String> {
        let config = self.config_args.load(self.listen.clone());
        let config =
            config.map_err(|error| format!("{error}; the old settings are still in effect"))?;
        self.live.replace(config.reloadable.clone());
        self.log_level.set(config.log.level);
        let started_with = self.started_with.lock().expect("nobody panics holding it");
        let waiting = config.needs_restart(&started_with);
        Ok(match waiting.is_empty() {
            true => "the settings were read again".to_owned(),
            false => format!(
                "the settings were read again; a restart is needed for {}",
                waiting.join(", ")
            ),
        })
    }
}
