//! Wraps an epoch secret to one device, so that the relay can carry it (HPKE, RFC 9180).

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{
    Deserializable, Kem, OpModeR, OpModeS, Serializable, single_shot_open,
    single_shot_seal_with_rng,
};
use zeroize::Zeroizing;

use crate::keys::{AgreementSecret, EpochSecret};
use crate::rng::CryptoRng;
use graceful_protocol::membership::WRAPPED_BYTES;
use graceful_protocol::{AccountId, AgreementKey, DeviceKey};

const INFO: &[u8] = b"graceful-relay/1 epoch secret\0";
const ENCAPSULATED_BYTES: usize = 32;

/// Why wrapping or unwrapping failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    /// The public key is invalid.
    #[error("agreement key is not a valid X25519 key")]
    Key,
    /// Authentication failed: another key, another purpose, or altered bytes.
    #[error("wrapped secret does not open with this device's key")]
    Sealed,
}

/// The context that a wrapped secret is bound to.
#[derive(Debug, Clone, Copy)]
pub struct Wrapping<'a> {
    /// `None` in the genesis entry, whose hash becomes the account id.
    pub account: Option<&'a AccountId>,
    /// The key epoch of the secret.
    pub key_epoch: u32,
    /// The recipient's signing key; the recovery key's Ed25519 key.
    pub recipient: &'a DeviceKey,
}

impl Wrapping<'_> {
    fn info(&self) -> Vec<u8> {
        let account = self.account.map_or([0; 32], |account| *account.as_bytes());
        [INFO, &account, &self.key_epoch.to_be_bytes()].concat()
    }
}

/// Wraps a secret to the recipient's agreement key.
///
/// # Errors
/// [`WrapError::Key`]
pub fn wrap(
    secret: &EpochSecret,
    wrapping: &Wrapping<'_>,
    to: &AgreementKey,
    rng: &mut dyn CryptoRng,
) -> Result<[u8; WRAPPED_BYTES], WrapError> {
    let wrapped = seal_to(
        &OpModeS::Base,
        to,
        &wrapping.info(),
        wrapping.recipient.as_bytes(),
        secret.expose(),
        rng,
    )?;
    Ok(wrapped.try_into().expect("32 bytes of secret wrap to 80"))
}

/// Unwraps a secret.
///
/// # Errors
/// [`WrapError::Sealed`]
pub fn unwrap(
    wrapped: &[u8],
    wrapping: &Wrapping<'_>,
    agreement: &AgreementSecret,
) -> Result<EpochSecret, WrapError> {
    let secret = open_with(
        &OpModeR::Base,
        agreement,
        &wrapping.info(),
        wrapping.recipient.as_bytes(),
        wrapped,
    )?;
    EpochSecret::from_slice(&secret).ok_or(WrapError::Sealed)
}

/// Returns the encapsulated key followed by the ciphertext.
pub(crate) fn seal_to(
    mode: &OpModeS<'_, X25519HkdfSha256>,
    to: &AgreementKey,
    info: &[u8],
    associated: &[u8],
    plain: &[u8],
    rng: &mut dyn CryptoRng,
) -> Result<Vec<u8>, WrapError> {
    let to = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(to.as_bytes())
        .map_err(|_| WrapError::Key)?;
    let (encapsulated, ciphertext) = single_shot_seal_with_rng::<
        AesGcm256,
        HkdfSha256,
        X25519HkdfSha256,
    >(mode, &to, info, plain, associated, &mut &mut *rng)
    .map_err(|_| WrapError::Key)?;
    Ok([&encapsulated.to_bytes()[..], &ciphertext].concat())
}

/// Opens the output of [`seal_to`].
pub(crate) fn open_with(
    mode: &OpModeR<'_, X25519HkdfSha256>,
    agreement: &AgreementSecret,
    info: &[u8],
    associated: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, WrapError> {
    let (encapsulated, ciphertext) = sealed
        .split_at_checked(ENCAPSULATED_BYTES)
        .ok_or(WrapError::Sealed)?;
    let encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapsulated)
        .map_err(|_| WrapError::Sealed)?;
    let private = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(agreement.expose())
        .map_err(|_| WrapError::Key)?;
    single_shot_open::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
        mode,
        &private,
        &encapsulated,
        info,
        ciphertext,
        associated,
    )
    .map(Zeroizing::new)
    .map_err(|_| WrapError::Sealed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::DeviceKeys;
    use crate::rng::SeededRng;

    #[test]
    fn wrapped_secret_opens_only_under_its_context() {
        let mut rng = SeededRng(3);
        let device = DeviceKeys::random(&mut rng);
        let other = DeviceKeys::random(&mut rng);
        let secret = EpochSecret::random(&mut rng);
        let account = AccountId::new([4; 32]);
        let key = device.device();
        let wrapping = Wrapping {
            account: Some(&account),
            key_epoch: 2,
            recipient: &key,
        };
        let wrapped = wrap(&secret, &wrapping, &device.agreement().public(), &mut rng).unwrap();
        assert_eq!(unwrap(&wrapped, &wrapping, device.agreement()), Ok(secret));
        let elsewhere = [
            unwrap(&wrapped, &wrapping, other.agreement()),
            unwrap(
                &wrapped,
                &Wrapping {
                    key_epoch: 3,
                    ..wrapping
                },
                device.agreement(),
            ),
            unwrap(
                &wrapped,
                &Wrapping {
                    account: None,
                    ..wrapping
                },
                device.agreement(),
            ),
            unwrap(
                &wrapped,
                &Wrapping {
                    recipient: &other.device(),
                    ..wrapping
                },
                device.agreement(),
            ),
            unwrap(&wrapped[..40], &wrapping, device.agreement()),
            unwrap(&[], &wrapping, device.agreement()),
        ];
        assert!(
            elsewhere
                .iter()
                .all(|result| *result == Err(WrapError::Sealed))
        );
    }

    #[test]
    fn wrap_to_invalid_key_fails() {
        let account = AccountId::new([4; 32]);
        let wrapping = Wrapping {
            account: Some(&account),
            key_epoch: 0,
            recipient: &DeviceKey::new([1; 32]),
        };
        let secret = EpochSecret::new([1; 32]);
        let result = wrap(
            &secret,
            &wrapping,
            &AgreementKey::new([0; 32]),
            &mut SeededRng(1),
        );
        assert_eq!(result, Err(WrapError::Key));
    }
}
