//! The store of a relay that does not run.

use anyhow::bail;

use graceful_server::config::Config;
use graceful_store::{FILE, Store};

/// Opens it, and makes nothing new: files made here would belong to whoever typed the command.
pub(crate) fn open(config: &Config) -> anyhow::Result<Store> {
    let folder = &config.data_dir;
    if !folder.join(FILE).exists() {
        bail!(
            "no relay runs on the data folder {}, and there is no store in it; name its folder with --data-dir",
            folder.display()
        );
    }
    Ok(Store::open(folder, config.store_options())?)
}
