//! The findings of one demo.

use serde::Serialize;

use super::receive::Copy;
use super::relay_view::RelayView;

/// One device, by the end.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Receiver {
    /// What it is called.
    pub(super) name: &'static str,
    /// What it received.
    #[serde(flatten)]
    pub(super) copy: Copy,
}

/// Everything that was found, all of it checked.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    /// Where the changes came from, if from a file.
    pub(super) source: Option<String>,
    /// Changes sent.
    pub(super) changes: u64,
    /// Bytes of the changes, each with its line's end.
    pub(super) bytes: u64,
    /// Of the changes, each with its line's end.
    pub(super) sha256: String,
    /// The account's id.
    pub(super) account: String,
    /// The devices' keys.
    pub(super) device_keys: Vec<String>,
    /// From the first change until the relay had all on its disk.
    pub(super) push_seconds: f64,
    /// What the relay could see.
    pub(super) relay: RelayView,
    /// What the others received.
    pub(super) receivers: Vec<Receiver>,
    /// Bytes of the ledger's text that the same search finds in the first receiver's copy.
    pub(super) plaintext_bytes_in_copy: u64,
    /// From pushing one more change until both others had it.
    pub(super) live_milliseconds: f64,
    /// Three changes as the devices read them.
    pub(super) samples: Vec<String>,
    /// What the relay keeps in the end.
    pub(super) envelopes_left: u64,
}
