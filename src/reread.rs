//! Reading the settings again while the relay runs: what can change at once does, the rest is named.

use std::sync::Mutex;

use super::logging::Volume;
use super::settings::Settings;
use graceful_server::config::Config;
use graceful_server::http::Live;

/// The settings that a running relay was started with, and a handle to what may change.
pub(super) struct Reread {
    settings: Settings,
    listen: Option<String>,
    live: Live,
    volume: Volume,
    started_with: Mutex<Config>,
}

impl Reread {
    pub(super) fn new(
        settings: Settings,
        listen: Option<String>,
        live: Live,
        volume: Volume,
        config: Config,
    ) -> Self {
        Self {
            settings,
            listen,
            live,
            volume,
            started_with: Mutex::new(config),
        }
    }

    /// Reads them again. What it says is for the operator.
    ///
    /// # Errors
    /// What is wrong with them; all old settings stay.
    pub(super) fn again(&self) -> Result<String, String> {
        let config = self.settings.load(self.listen.clone());
        let config =
            config.map_err(|error| format!("{error}; the old settings are still in effect"))?;
        self.live.change(config.live.clone());
        self.volume.set(config.log.level);
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
