//! The store of a stopped relay.

use anyhow::bail;

use graceful_server::config::Config;
use graceful_store::{FILE, Store};

/// Opens an existing store. Never creates one, since it would belong to the current user.
pub(crate) fn open(config: &Config) -> anyhow::Result<Store> {
    let folder = &config.data_dir;
    if !folder.join(FILE).exists() {
        bail!(
            "no relay is running on {}, and it has no store; use another --data-dir",
            folder.display()
        );
    }
    Ok(Store::open(folder, config.store_options())?)
}
