//! Secrets: wiped from memory when dropped, and shown by no `Debug`.

use std::fmt;

use ed25519_dalek::SigningKey;
use hpke::{Deserializable, Kem, Serializable, kem::X25519HkdfSha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::rng::{CryptoRng, random};
use graceful_protocol::{AgreementKey, DeviceKey};

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; $length]);

        impl $name {
            /// Its length in bytes.
            pub const LENGTH: usize = $length;

            /// From bytes made earlier.
            pub const fn new(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }

            /// A fresh one.
            pub fn random(rng: &mut dyn CryptoRng) -> Self {
                Self(random(rng))
            }

            /// The secret itself. Keep it out of logs, errors and names.
            pub const fn expose(&self) -> &[u8; $length] {
                &self.0
            }

            /// From bytes whose length is not known yet; `None` if it is wrong.
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
    /// The account's secret for one key epoch: opens everything sealed in it.
    EpochSecret,
    32
);
secret!(
    /// Shared by link or QR code for one pairing.
    PairingSecret,
    16
);
secret!(
    /// A device's X25519 private key.
    AgreementSecret,
    32
);

impl AgreementSecret {
    /// The key that others wrap secrets to.
    pub fn public(&self) -> AgreementKey {
        let private = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(&self.0)
            .expect("any 32 bytes are an X25519 private key");
        AgreementKey::new(X25519HkdfSha256::sk_to_pk(&private).to_bytes().into())
    }
}

/// The two key pairs of one device.
#[derive(Clone)]
pub struct DeviceKeys {
    signing: SigningKey,
    agreement: AgreementSecret,
}

impl DeviceKeys {
    /// Fresh keys.
    pub fn random(rng: &mut dyn CryptoRng) -> Self {
        let mut seed = random(rng);
        let keys = Self::new(&seed, AgreementSecret::random(rng));
        seed.zeroize();
        keys
    }

    /// From an Ed25519 seed (RFC 8032) and an X25519 private key made earlier.
    pub fn new(signing_seed: &[u8; 32], agreement: AgreementSecret) -> Self {
        Self {
            signing: SigningKey::from_bytes(signing_seed),
            agreement,
        }
    }

    /// Signs for the device; wipes itself when dropped.
    pub fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// Opens what is wrapped to the device.
    pub fn agreement(&self) -> &AgreementSecret {
        &self.agreement
    }

    /// The device's name to the relay.
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
    use super::super::rng::SeededRng;
    use super::*;

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
    fn the_same_chance_gives_the_same_keys() {
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
