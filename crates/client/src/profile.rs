//! The profile directory: the `device` file with the secrets, the `journal`, and a `lock`.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::error::ClientError;
use crate::journal::{Journal, peek, private, write_atomically};
use graceful_engine::mnemonic::RecoveryKey;
use graceful_engine::pairing::Account;
use graceful_engine::{AgreementSecret, DeviceKeys, EpochSecret};
use graceful_engine::{EngineState, Identity};
use graceful_protocol::wire::SignedEntry;

const VERSION: u32 = 1;

/// A locked profile directory.
#[derive(Debug)]
pub(super) struct Profile {
    /// Held for the lifetime of the profile.
    _lock: File,
    pub(super) journal: Journal,
    pub(super) state: EngineState,
    pub(super) relay: String,
}

/// The `device` file: JSON with base64url values.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct DeviceFile {
    version: u32,
    relay: String,
    device_id: String,
    signing_seed: String,
    agreement_secret: String,
    epoch_secrets: Vec<String>,
    entries: Vec<(String, String)>,
    names: Vec<(String, String)>,
}

/// Returns whether a directory holds a device.
pub(super) fn exists(profile_dir: &Path) -> bool {
    profile_dir.join("device").exists()
}

/// Creates a new device's profile.
pub(super) fn create(
    profile_dir: &Path,
    relay: &str,
    identity: &Identity,
) -> Result<(), ClientError> {
    std::fs::create_dir_all(profile_dir).map_err(ClientError::file("create", profile_dir))?;
    let journal = profile_dir.join("journal");
    if journal.exists() {
        return Err(ClientError::ProfileExists(profile_dir.to_owned()));
    }
    write_device(profile_dir, relay, identity)
}

/// Creates a directory if missing and locks it while the result lives.
pub(super) fn create_and_lock(profile_dir: &Path) -> Result<File, ClientError> {
    std::fs::create_dir_all(profile_dir).map_err(ClientError::file("create", profile_dir))?;
    lock(profile_dir)
}

/// Checks whether an account can be created here: in a new profile, or in a pending one with the
/// same recovery key.
pub(super) fn check_create_account(
    profile_dir: &Path,
    recovery: Option<&RecoveryKey>,
) -> Result<(), ClientError> {
    if !exists(profile_dir) {
        return Ok(());
    }
    let (_, state) = read_state(profile_dir)?;
    let log = state.account().membership();
    if state.welcomed() || log.count() > 1 {
        return Err(ClientError::ProfileExists(profile_dir.to_owned()));
    }
    let given = recovery.map(|recovery| recovery.keys().device());
    if given.is_some() && given != log.recovery().map(|recovery| recovery.key) {
        return Err(ClientError::OtherRecoveryKey(profile_dir.to_owned()));
    }
    Ok(())
}

/// Resumes a pending account under another name. The keys stay: the relay may have accepted them,
/// and an invitation is valid once.
pub(super) fn resume_creation(
    profile_dir: &Path,
    relay: &str,
    device_id: &str,
    device_name: &str,
) -> Result<(), ClientError> {
    let _lock = lock(profile_dir)?;
    check_create_account(profile_dir, None)?;
    let (_, mut identity) = read_device(profile_dir)?;
    device_id.clone_into(&mut identity.device_id);
    identity.account.names = vec![(identity.keys.device(), device_name.to_owned())];
    write_device(profile_dir, relay, &identity)
}

/// Writes the `device` file.
pub(super) fn write_device(
    profile_dir: &Path,
    relay: &str,
    identity: &Identity,
) -> Result<(), ClientError> {
    let path = profile_dir.join("device");
    let text = Zeroizing::new(
        serde_json::to_vec_pretty(&to_file(relay, identity))
            .map_err(|error| ClientError::damaged(&path, error))?,
    );
    write_atomically(&path, &text)
}

/// Locks a profile and rebuilds its state.
pub(super) fn open(profile_dir: &Path) -> Result<Profile, ClientError> {
    if !exists(profile_dir) {
        return Err(ClientError::NoProfile(profile_dir.to_owned()));
    }
    let lock = lock(profile_dir)?;
    let (relay, identity) = read_device(profile_dir)?;
    let path = profile_dir.join("journal");
    let opened = Journal::open(&path)?;
    if opened.torn_bytes > 0 {
        tracing::warn!(
            bytes = opened.torn_bytes,
            "dropped a torn journal group after a crash"
        );
    }
    let state = replay(&path, &identity, opened.records)?;
    let mut journal = opened.journal;
    if journal.wants_compaction() {
        journal.compact(&state.records())?;
    }
    Ok(Profile {
        _lock: lock,
        journal,
        state,
        relay,
    })
}

/// Reads relay and state of a profile without locking it.
pub(super) fn read_state(profile_dir: &Path) -> Result<(String, EngineState), ClientError> {
    if !exists(profile_dir) {
        return Err(ClientError::NoProfile(profile_dir.to_owned()));
    }
    let (relay, identity) = read_device(profile_dir)?;
    let path = profile_dir.join("journal");
    let state = replay(&path, &identity, peek(&path)?)?;
    Ok((relay, state))
}

/// Reads the `device` file.
pub(super) fn read_device(profile_dir: &Path) -> Result<(String, Identity), ClientError> {
    let path = profile_dir.join("device");
    let text = Zeroizing::new(std::fs::read(&path).map_err(ClientError::file("read", &path))?);
    let file: DeviceFile =
        serde_json::from_slice(&text).map_err(|error| ClientError::damaged(&path, error))?;
    if file.version != VERSION {
        return Err(ClientError::damaged(
            &path,
            format!("unknown version {}", file.version),
        ));
    }
    let identity =
        from_file(&file).ok_or_else(|| ClientError::damaged(&path, "malformed key or entry"))?;
    Ok((file.relay.clone(), identity))
}

fn replay(
    path: &Path,
    identity: &Identity,
    records: Vec<graceful_engine::record::Record>,
) -> Result<EngineState, ClientError> {
    let mut state =
        EngineState::new(identity).map_err(|error| ClientError::damaged(path, error))?;
    for record in records {
        state
            .apply(record)
            .map_err(|error| ClientError::damaged(path, error))?;
    }
    Ok(state)
}

fn lock(profile_dir: &Path) -> Result<File, ClientError> {
    let path: PathBuf = profile_dir.join("lock");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    private(&mut options);
    let file = options
        .open(&path)
        .map_err(ClientError::file("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ClientError::InUse(profile_dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(ClientError::file("lock", &path)(error)),
    }
}

fn to_file(relay: &str, identity: &Identity) -> DeviceFile {
    let encode = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let Account {
        entries,
        secrets,
        names,
    } = &identity.account;
    DeviceFile {
        version: VERSION,
        relay: relay.to_owned(),
        device_id: identity.device_id.clone(),
        signing_seed: encode(Zeroizing::new(identity.keys.signing().to_bytes()).as_slice()),
        agreement_secret: encode(identity.keys.agreement().expose()),
        epoch_secrets: secrets
            .iter()
            .map(|secret| encode(secret.expose()))
            .collect(),
        entries: entries
            .iter()
            .map(|entry| (encode(&entry.body), encode(&entry.signature)))
            .collect(),
        names: names
            .iter()
            .map(|(device, name)| (device.to_string(), name.clone()))
            .collect(),
    }
}

fn from_file(file: &DeviceFile) -> Option<Identity> {
    let decode = |text: &String| {
        BASE64URL_NOPAD
            .decode(text.as_bytes())
            .ok()
            .map(Zeroizing::new)
    };
    let seed: Zeroizing<[u8; 32]> =
        Zeroizing::new(decode(&file.signing_seed)?.as_slice().try_into().ok()?);
    let agreement = AgreementSecret::from_slice(&decode(&file.agreement_secret)?)?;
    let secrets = file
        .epoch_secrets
        .iter()
        .map(|secret| EpochSecret::from_slice(&decode(secret)?));
    let entries = file.entries.iter().map(|(body, signature)| {
        let bytes = |text| Some(Bytes::copy_from_slice(&decode(text)?));
        Some(SignedEntry {
            body: bytes(body)?,
            signature: bytes(signature)?,
        })
    });
    let names = file
        .names
        .iter()
        .map(|(device, name)| Some((device.parse().ok()?, name.clone())));
    Some(Identity {
        keys: DeviceKeys::new(&seed, agreement),
        device_id: file.device_id.clone(),
        account: Account {
            entries: entries.collect::<Option<_>>()?,
            secrets: secrets.collect::<Option<_>>()?,
            names: names.collect::<Option<_>>()?,
        },
    })
}
