//! A certificate in two PEM files, which are read again when they change.

use parking_lot::Mutex;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::TlsError;
use super::certificate::Certificate;

/// The maximum size of a file. A chain has a few kilobytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Any reader of the key can impersonate the relay. The group may: some systems have one for keys.
#[cfg(unix)]
const OTHERS: u32 = 0o007;

pub(super) struct Files {
    certificate: PathBuf,
    key: PathBuf,
    /// The digest of what was read last, valid or not.
    seen: Mutex<[u8; 32]>,
}

impl Files {
    pub(super) fn load(
        certificate: PathBuf,
        key: PathBuf,
    ) -> Result<(Self, Certificate), TlsError> {
        let files = Self {
            certificate,
            key,
            seen: Mutex::default(),
        };
        let loaded = files.read()?;
        Ok((files, loaded))
    }

    /// Returns the content if it changed. Small files are simply read, since times and sizes of
    /// links and of coarse file systems can hide a change.
    pub(super) fn read_if_changed(&self) -> Option<Result<Certificate, TlsError>> {
        let before = *self.seen.lock();
        let (chain, key) = match self.contents() {
            Ok(contents) => contents,
            Err(error) => {
                // So that the same content is noticed when the files come back.
                *self.seen.lock() = [0; 32];
                return Some(Err(error));
            }
        };
        (digest(&chain, &key) != before).then(|| self.read())
    }

    /// Reads the files. A key that others can read is rejected.
    pub(super) fn read(&self) -> Result<Certificate, TlsError> {
        let (chain, key) = self.contents()?;
        *self.seen.lock() = digest(&chain, &key);
        refuse_if_open_to_others(&self.key)?;
        Certificate::from_pem(&chain, &key).map_err(|what| {
            let path = if what.contains("private key") {
                &self.key
            } else {
                &self.certificate
            };
            TlsError::unusable(path, what)
        })
    }

    fn contents(&self) -> Result<(Vec<u8>, Vec<u8>), TlsError> {
        Ok((contents(&self.certificate)?, contents(&self.key)?))
    }
}

fn contents(path: &Path) -> Result<Vec<u8>, TlsError> {
    let length = std::fs::metadata(path)
        .map_err(TlsError::file("read", path))?
        .len();
    if length > FILE_BYTES_MAX {
        return Err(TlsError::unusable(
            path,
            "the file is too large for a certificate or a key",
        ));
    }
    std::fs::read(path).map_err(TlsError::file("read", path))
}

fn digest(chain: &[u8], key: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update((chain.len() as u64).to_be_bytes());
    digest.update(chain);
    digest.update(key);
    digest.finalize().into()
}

#[cfg(unix)]
fn refuse_if_open_to_others(key: &Path) -> Result<(), TlsError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(key)
        .map_err(TlsError::file("read", key))?
        .permissions()
        .mode();
    if mode & OTHERS == 0 {
        return Ok(());
    }
    let what = "every user of this machine can read this private key; run: chmod o= FILE";
    Err(TlsError::unusable(key, what))
}

#[cfg(not(unix))]
fn refuse_if_open_to_others(_key: &Path) -> Result<(), TlsError> {
    Ok(())
}
