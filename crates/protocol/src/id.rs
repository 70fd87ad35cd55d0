//! Fixed-size identifiers. `Display` is base64url; `Debug` shows only the first bytes, so that a
//! log line identifies no account or device.

use std::fmt;

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;

/// An identifier of the wrong length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {expected} bytes, not {found}")]
pub struct InvalidId {
    what: &'static str,
    expected: usize,
    found: usize,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $length:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $length]);

        impl $name {
            /// Length in bytes.
            pub const LENGTH: usize = $length;

            /// Creates the identifier from its bytes.
            pub const fn new(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }

            /// Returns the bytes.
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }

            /// Returns a copy for a frame.
            pub fn to_wire(&self) -> Bytes {
                Bytes::copy_from_slice(&self.0)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = InvalidId;

            fn try_from(bytes: &[u8]) -> Result<Self, InvalidId> {
                bytes.try_into().map(Self).map_err(|_| InvalidId {
                    what: $what,
                    expected: $length,
                    found: bytes.len(),
                })
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).unwrap_or_default();
                Self::try_from(bytes.as_slice())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&BASE64URL_NOPAD.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:02x}{:02x}…)", stringify!($name), self.0[0], self.0[1])
            }
        }
    };
}

id!(
    /// An account id: the hash of its genesis entry.
    AccountId, 32, "an account id"
);
id!(
    /// A device's Ed25519 public key, by which the relay knows it.
    DeviceKey, 32, "a device key"
);
id!(
    /// A device's X25519 public key, to which secrets are wrapped.
    AgreementKey, 32, "an agreement key"
);
id!(
    /// The hash of a membership entry, named by the next one.
    EntryHash, 32, "an entry hash"
);
id!(
    /// The running hash of an account's log.
    Chain, 32, "a chain hash"
);
id!(
    /// The epoch of a store. Changes with each restore.
    StoreEpoch, 16, "a store epoch"
);
id!(
    /// The id of a relay, created with its store.
    RelayId, 16, "a relay id"
);
id!(
    /// The id of a rendezvous, used for one pairing.
    RendezvousId, 16, "a rendezvous id"
);
