//! The section `[storage]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::check::Check;
use super::error::{ConfigError, Errors};
use super::paths::ProcessEnv;
use super::units::{ByteSize, HumanDuration};
use graceful_protocol::Limits;
use graceful_protocol::limits::RETENTION_S_MAX;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawStorage {
    /// Empty: depends on the user, see [`ProcessEnv::data_dir`].
    pub(super) data_dir: String,
    pub(super) retention: HumanDuration,
    pub(super) cache_size: ByteSize,
    pub(super) journal_size: ByteSize,
    pub(super) min_free_space: ByteSize,
    pub(super) ballast_size: ByteSize,
}

impl Default for RawStorage {
    fn default() -> Self {
        Self {
            data_dir: String::new(),
            retention: HumanDuration::from_secs(Limits::default().retention_s.into()),
            cache_size: ByteSize(64 << 20),
            journal_size: ByteSize(16 << 20),
            min_free_space: ByteSize(256 << 20),
            ballast_size: ByteSize(16 << 20),
        }
    }
}

impl RawStorage {
    pub(super) fn ranges(&self, check: &Check<'_>, errors: &mut Errors) {
        const DAY_S: u64 = 24 * 60 * 60;
        errors.take(check.duration(
            "storage.retention",
            self.retention,
            DAY_S..=RETENTION_S_MAX.into(),
        ));
        for (key, size, range) in [
            ("storage.min_free_space", self.min_free_space, 0..=1 << 50),
            ("storage.ballast_size", self.ballast_size, 0..=64 << 30),
            ("storage.cache_size", self.cache_size, 4 << 20..=64 << 30),
            ("storage.journal_size", self.journal_size, 1 << 20..=1 << 30),
        ] {
            errors.take(check.size(key, size, range));
        }
    }

    pub(super) fn data_dir(
        &self,
        check: &Check<'_>,
        env: &ProcessEnv,
    ) -> Result<PathBuf, ConfigError> {
        const KEY: &str = "storage.data_dir";
        if !self.data_dir.is_empty() {
            return check.path(KEY, &self.data_dir);
        }
        let text = "is not set, and this user has no home directory; set it, or use --data-dir";
        env.data_dir().ok_or_else(|| check.wrong(KEY, text))
    }
}
