//! Reloading the configuration of a running relay.

use std::sync::Mutex;

use super::logging::LogLevelHandle;
use crate::config_args::ConfigArgs;
use graceful_server::config::Config;
use graceful_server::http::ReloadHandle;

/// The configuration at start, and handles to what a reload changes.
pub(super) struct Reloader {
    config_args: ConfigArgs,
    listen: Option<String>,
    reload: ReloadHandle,
    log_level: LogLevelHandle,
    started_with: Mutex<Config>,
}

impl Reloader {
    pub(super) fn new(
        config_args: ConfigArgs,
        listen: Option<String>,
        reload: ReloadHandle,
        log_level: LogLevelHandle,
        config: Config,
    ) -> Self {
        Self {
            config_args,
            listen,
            reload,
            log_level,
            started_with: Mutex::new(config),
        }
    }

    /// Reloads, and returns a message for the operator.
    ///
    /// # Errors
    /// A wrong configuration; the old one stays in effect.
    pub(super) fn reload(&self) -> Result<String, String> {
        let config = self.config_args.load(self.listen.clone());
        let config =
            config.map_err(|error| format!("{error}; the old configuration stays in effect"))?;
        self.reload.replace(config.reloadable.clone());
        self.log_level.set(config.log.level);
        let started_with = self.started_with.lock().expect("mutex poisoned");
        let pending = config.needs_restart(&started_with);
        Ok(match pending.is_empty() {
            true => "configuration reloaded".to_owned(),
            false => format!(
                "configuration reloaded; restart the relay to apply {}",
                pending.join(", ")
            ),
        })
    }
}
