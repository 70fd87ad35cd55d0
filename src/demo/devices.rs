//! The demo's devices: real clients, each with its own profile.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use graceful_client::{Client, ConnectOptions, CreateOptions, JoinOptions, OpenOptions};

/// Lifetime of a pairing link.
const LINK_LIFETIME: Duration = Duration::from_secs(60);

/// The name and id of a device.
#[derive(Debug, Clone, Copy)]
pub(super) struct DemoDevice {
    /// Name for people; encrypted.
    pub(super) name: &'static str,
    /// Id for programs; encrypted.
    pub(super) device_id: &'static str,
}

/// The device that pushes the ledger.
pub(super) const LAPTOP: DemoDevice = DemoDevice {
    name: "Laptop",
    device_id: "laptop-2f61b8",
};
/// A device that receives it.
pub(super) const PHONE: DemoDevice = DemoDevice {
    name: "Phone",
    device_id: "phone-90c4d7",
};
/// Another device that receives it.
pub(super) const TABLET: DemoDevice = DemoDevice {
    name: "Tablet",
    device_id: "tablet-5be013",
};

impl DemoDevice {
    /// Returns the profile directory of this device.
    pub(super) fn profile_dir(self, home: &Path) -> PathBuf {
        home.join(self.name.to_lowercase())
    }

    /// Creates the account.
    pub(super) async fn create(
        self,
        home: &Path,
        relay: &str,
        invite: String,
    ) -> anyhow::Result<Client> {
        let created = Client::create(CreateOptions {
            profile_dir: self.profile_dir(home),
            relay: relay.to_owned(),
            invite: Some(invite),
            device_name: self.name.to_owned(),
            device_id: self.device_id.to_owned(),
            recovery: None,
            connect: ConnectOptions::default(),
        });
        created
            .await
            .with_context(|| format!("{} cannot create an account", self.name))
    }

    /// Joins by a link from `existing`, with both ends running at once.
    pub(super) async fn join(self, home: &Path, existing: &Client) -> anyhow::Result<Client> {
        let mut pairing = existing.pair(LINK_LIFETIME).await?;
        let options = JoinOptions {
            profile_dir: self.profile_dir(home),
            link: pairing.link(),
            device_name: self.name.to_owned(),
            device_id: self.device_id.to_owned(),
            connect: ConnectOptions::default(),
        };
        let accept = async { pairing.next_request().await?.accept().await };
        let (joined, accepted) = tokio::join!(Client::join(options, |_| ()), accept);
        accepted.with_context(|| format!("{} was not accepted", self.name))?;
        joined.with_context(|| format!("{} cannot join", self.name))
    }

    /// Opens the device again.
    pub(super) async fn open(self, home: &Path) -> anyhow::Result<Client> {
        let opened = Client::open(OpenOptions::new(self.profile_dir(home))).await;
        opened.with_context(|| format!("{} cannot be reopened", self.name))
    }
}
