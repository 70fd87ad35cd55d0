//! Pending recovery: the new device's keys are on disk before the relay sees them. A retry uses the
//! same keys and leaves no unusable device in the account.

use std::path::{Path, PathBuf};

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::error::ClientError;
use crate::journal::write_atomically;
use graceful_engine::OsRng;
use graceful_engine::{AgreementSecret, DeviceKeys};
use graceful_protocol::DeviceKey;

const VERSION: u32 = 1;

/// The `recovering` file. It holds the public half of the recovery key, to match a retry.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct PendingRecovery {
    version: u32,
    recovery_key: String,
    signing_seed: String,
    agreement_secret: String,
}

fn path(profile_dir: &Path) -> PathBuf {
    profile_dir.join("recovering")
}

/// Returns the keys of an earlier attempt with the same recovery key, or new ones. They are on disk
/// on return.
pub(super) fn load_or_create(
    profile_dir: &Path,
    recovery: &DeviceKey,
) -> Result<DeviceKeys, ClientError> {
    let path = path(profile_dir);
    if path.exists()
        && let Some(keys) = read(&path, recovery)?
    {
        return Ok(keys);
    }
    let keys = DeviceKeys::random(&mut OsRng);
    let pending = PendingRecovery {
        version: VERSION,
        recovery_key: recovery.to_string(),
        signing_seed: BASE64URL_NOPAD.encode(Zeroizing::new(keys.signing().to_bytes()).as_slice()),
        agreement_secret: BASE64URL_NOPAD.encode(keys.agreement().expose()),
    };
    let text =
        serde_json::to_vec_pretty(&pending).map_err(|error| ClientError::damaged(&path, error))?;
    write_atomically(&path, &Zeroizing::new(text))?;
    Ok(keys)
}

/// Returns `None` if they belong to another recovery key.
fn read(path: &Path, recovery: &DeviceKey) -> Result<Option<DeviceKeys>, ClientError> {
    let text = Zeroizing::new(std::fs::read(path).map_err(ClientError::file("read", path))?);
    let pending: PendingRecovery =
        serde_json::from_slice(&text).map_err(|error| ClientError::damaged(path, error))?;
    if pending.version != VERSION {
        return Err(ClientError::damaged(
            path,
            format!("unknown version {}", pending.version),
        ));
    }
    if pending.recovery_key != recovery.to_string() {
        return Ok(None);
    }
    let decode = |text: &String| {
        BASE64URL_NOPAD
            .decode(text.as_bytes())
            .ok()
            .map(Zeroizing::new)
    };
    let seed = decode(&pending.signing_seed)
        .and_then(|seed| seed.as_slice().try_into().ok().map(Zeroizing::new));
    let agreement =
        decode(&pending.agreement_secret).and_then(|secret| AgreementSecret::from_slice(&secret));
    let (Some(seed), Some(agreement)) = (seed, agreement) else {
        return Err(ClientError::damaged(path, "a key"));
    };
    Ok(Some(DeviceKeys::new(&seed, agreement)))
}

/// Removes the file once the keys are in the profile or useless.
pub(super) fn remove(profile_dir: &Path) -> Result<(), ClientError> {
    let path = path(profile_dir);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(ClientError::file("remove", &path)(error))
        }
        _ => Ok(()),
    }
}
