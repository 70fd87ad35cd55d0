//! Key material. Secrets are wiped on drop and have no content in `Debug`.

use std::fmt;

use ed25519_dalek::SigningKey;
use hpke::{Deserializable, Kem, Serializable, kem::X25519HkdfSha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::rng::{CryptoRng, random};
use graceful_protocol::{AgreementKey, DeviceKey};

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; $length]);

        impl $name {
            /// Length in bytes.
            pub const LENGTH: usize = $length;

            /// Creates a secret from existing bytes.
            pub const fn new(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }

            /// Generates a fresh secret.
            pub fn random(rng: &mut dyn CryptoRng) -> Self {
                Self(random(rng))
            }

            /// Returns the raw bytes. Keep them out of logs and errors.
            pub const fn expose(&self) -> &[u8; $length] {
                &self.0
            }

            /// Creates a secret from a slice, or returns `None` if the length is wrong.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

secret!(
    /// The account's secret of one key epoch. It decrypts everything sealed in that epoch.
    EpochSecret,
    32
);
secret!(
    /// The secret of one pairing, shared by link or QR code.
    PairingSecret,
    16
);
secret!(
    /// A device's X25519 private key.
    AgreementSecret,
    32
);

impl AgreementSecret {
    /// Returns the public key.
    pub fn public(&self) -> AgreementKey {
        let private = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(&self.0)
            .expect("any 32 bytes are an X25519 private key");
        AgreementKey::new(X25519HkdfSha256::sk_to_pk(&private).to_bytes().into())
    }
}

/// The two key pairs of a device.
#[derive(Clone)]
pub struct DeviceKeys {
    signing: SigningKey,
    agreement: AgreementSecret,
}

impl DeviceKeys {
    /// Generates fresh keys.
    pub fn random(rng: &mut dyn CryptoRng) -> Self {
        let mut seed = random(rng);
        let keys = Self::new(&seed, AgreementSecret::random(rng));
        seed.zeroize();
        keys
    }

    /// Creates keys from an Ed25519 seed (RFC 8032) and an X25519 private key.
    pub fn new(signing_seed: &[u8; 32], agreement: AgreementSecret) -> Self {
        Self {
            signing: SigningKey::from_bytes(signing_seed),
            agreement,
        }
    }

    /// The signing key; wiped on drop.
    pub fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// The private key that unwraps secrets.
    pub fn agreement(&self) -> &AgreementSecret {
        &self.agreement
    }

    /// The device's public signing key, which identifies it to the relay.
    pub fn device(&self) -> DeviceKey {
        DeviceKey::new(self.signing.verifying_key().to_bytes())
    }
}

impl fmt::Debug for DeviceKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKeys({:?}, …)", self.device())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SeededRng;

    #[test]
    fn debug_shows_no_secret() {
        let secret = EpochSecret::new([0xab; 32]);
        assert_eq!(format!("{secret:?}"), "EpochSecret(…)");
        assert_eq!(
            format!("{:?}", PairingSecret::new([0xab; 16])),
            "PairingSecret(…)"
        );
        assert_eq!(
            format!("{:?}", AgreementSecret::new([0xab; 32])),
            "AgreementSecret(…)"
        );
        let keys = DeviceKeys::random(&mut SeededRng(1));
        assert_eq!(
            format!("{keys:?}"),
            format!("DeviceKeys({:?}, …)", keys.device())
        );
    }

    #[test]
    fn same_randomness_gives_same_keys() {
        let once = DeviceKeys::random(&mut SeededRng(5));
        let again = DeviceKeys::random(&mut SeededRng(5));
        assert_eq!(once.device(), again.device());
        assert_eq!(once.agreement().public(), again.agreement().public());
        assert_ne!(
            once.device(),
            DeviceKeys::random(&mut SeededRng(6)).device()
        );
    }
}
