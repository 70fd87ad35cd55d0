//! The devices of the demo: real clients of the library, each with a folder of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use graceful_client::{Client, ConnectOptions, CreateOptions, JoinOptions, OpenOptions};

/// How long a pairing link is good here.
const LINK_LIFETIME: Duration = Duration::from_secs(60);

/// What a device is called, by people and by programs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named {
    /// For people; travels sealed.
    pub(super) name: &'static str,
    /// For programs; travels sealed.
    pub(super) device_id: &'static str,
}

/// Where the ledger is written.
pub(super) const LAPTOP: Named = Named {
    name: "Laptop",
    device_id: "laptop-2f61b8",
};
/// One that receives it.
pub(super) const PHONE: Named = Named {
    name: "Phone",
    device_id: "phone-90c4d7",
};
/// Another.
pub(super) const TABLET: Named = Named {
    name: "Tablet",
    device_id: "tablet-5be013",
};

impl Named {
    /// The folder of this device.
    pub(super) fn folder(self, home: &Path) -> PathBuf {
        home.join(self.name.to_lowercase())
    }

    /// Founds the account.
    pub(super) async fn create(
        self,
        home: &Path,
        relay: &str,
        invite: String,
    ) -> anyhow::Result<Client> {
        let created = Client::create(CreateOptions {
            folder: self.folder(home),
            relay: relay.to_owned(),
            invite: Some(invite),
            device_name: self.name.to_owned(),
            device_id: self.device_id.to_owned(),
            recovery: None,
            connect: ConnectOptions::default(),
        });
        created
            .await
            .with_context(|| format!("{} could not found an account", self.name))
    }

    /// Joins by a link that `existing` shows: both ends at once, through the relay's rendezvous.
    pub(super) async fn join(self, home: &Path, existing: &Client) -> anyhow::Result<Client> {
        let mut pairing = existing.pair(LINK_LIFETIME).await?;
        let options = JoinOptions {
            folder: self.folder(home),
            link: pairing.link(),
            device_name: self.name.to_owned(),
            device_id: self.device_id.to_owned(),
            connect: ConnectOptions::default(),
        };
        let accept = async { pairing.next_request().await?.accept().await };
        let (joined, accepted) = tokio::join!(Client::join(options, |_| ()), accept);
        accepted.with_context(|| format!("{} could not be let in", self.name))?;
        joined.with_context(|| format!("{} could not join", self.name))
    }

    /// Switches it on again.
    pub(super) async fn open(self, home: &Path) -> anyhow::Result<Client> {
        let opened = Client::open(OpenOptions::new(self.folder(home))).await;
        opened.with_context(|| format!("{} could not be opened again", self.name))
    }
}
