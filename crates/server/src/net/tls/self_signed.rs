//! The self-signed certificate. Devices pin its key, which never changes; names and dates are
//! informational.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use rustls::pki_types::PrivateKeyDer;

use super::TlsError;
use super::certificate::Certificate;

/// Key and certificate in one file, so that they always match.
const FILE: &str = "self-signed.pem";

/// Loopback names.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Loads the certificate, or creates it for other names with the same key.
pub(super) fn load_or_create(folder: &Path, names: Vec<String>) -> Result<Certificate, TlsError> {
    let path = folder.join(FILE);
    let names = if names.is_empty() {
        machine_names()
    } else {
        names
    };
    let key = match graceful_fs_util::read_optional(&path).map_err(TlsError::file("read", &path))? {
        None => new_key()?,
        Some(pem) => {
            let damaged = |_| {
                let what = "the file is damaged; restore it from a backup, or move it away: then the relay creates a \
                            new key, which each device has to pin again";
                TlsError::unusable(&path, what)
            };
            let certificate = Certificate::from_pem(&pem, &pem).map_err(damaged)?;
            if certificate.names == names {
                return Ok(certificate);
            }
            let text = std::str::from_utf8(&pem).unwrap_or_default();
            KeyPair::from_pem(text).map_err(|error| damaged(error.to_string()))?
        }
    };
    let (certificate, pem) = make(&key, &names)?;
    let content = key.serialize_pem() + &pem;
    graceful_fs_util::atomic_write(&path, content.as_bytes())
        .map_err(TlsError::file("write", &path))?;
    Ok(certificate)
}

pub(super) fn new_key() -> Result<KeyPair, TlsError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
        .map_err(|error| TlsError::Making(error.to_string()))
}

/// Creates a certificate without a file.
pub(super) fn create(key: &KeyPair, names: &[String]) -> Result<Certificate, TlsError> {
    make(key, names).map(|(certificate, _)| certificate)
}

fn make(key: &KeyPair, names: &[String]) -> Result<(Certificate, String), TlsError> {
    let making = |error: rcgen::Error| TlsError::Making(error.to_string());
    let mut parameters = CertificateParams::new(names.to_vec()).map_err(making)?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters
        .distinguished_name
        .push(DnType::CommonName, "Graceful Relay");
    // An expiry would gain nothing: the key could sign another certificate, and clocks may be
    // wrong.
    parameters.not_before = date_time_ymd(1970, 1, 1);
    parameters.not_after = date_time_ymd(9999, 1, 1);
    let signed = parameters.self_signed(key).map_err(making)?;
    let private = PrivateKeyDer::try_from(key.serialize_der())
        .map_err(|error| TlsError::Making(error.to_owned()))?;
    let certificate =
        Certificate::new(vec![signed.der().clone()], private).map_err(TlsError::Making)?;
    Ok((certificate, signed.pem()))
}

/// Returns the outgoing addresses of this machine, its host name and the loopback names.
fn machine_names() -> Vec<String> {
    let addresses = [
        own_address(
            (Ipv4Addr::UNSPECIFIED, 0).into(),
            (Ipv4Addr::new(192, 0, 2, 1), 9).into(),
        ),
        own_address(
            (Ipv6Addr::UNSPECIFIED, 0).into(),
            (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9).into(),
        ),
    ];
    let mut names: Vec<String> = addresses
        .into_iter()
        .flatten()
        .map(|address| address.to_string())
        .collect();
    if let Some(name) = host_name() {
        names.push(name.clone());
        if !name.contains('.') {
            names.push(format!("{name}.local"));
        }
    }
    names.extend(LOOPBACK.map(str::to_owned));
    names.dedup();
    names
}

/// Returns the source address of packets to a remote address. No packet is sent.
fn own_address(any: SocketAddr, far: SocketAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(far).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

fn host_name() -> Option<String> {
    let files = ["/proc/sys/kernel/hostname", "/etc/hostname"];
    let name = files
        .iter()
        .find_map(|file| std::fs::read_to_string(file).ok())?;
    let name = name.trim().to_ascii_lowercase();
    let usable = name
        .chars()
        .all(|letter| letter.is_ascii_alphanumeric() || "-.".contains(letter));
    (usable && !name.is_empty() && name != "localhost").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_stays_while_names_come_and_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let made = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            load_or_create(folder.path(), names).expect("a certificate")
        };
        let first = made(&["192.168.1.20"]);
        let again = made(&["192.168.1.20"]);
        assert_eq!(first.certified.cert, again.certified.cert);
        let other = made(&["relay.local", "192.168.1.21"]);
        assert_eq!(other.fingerprint(), first.fingerprint());
        assert_ne!(other.certified.cert, first.certified.cert);
        assert!(
            other.is_valid_for("relay.local")
                && other.is_valid_for("192.168.1.21")
                && !other.is_valid_for("192.168.1.20")
        );
        std::fs::write(folder.path().join(FILE), "-----BEGIN").expect("ours");
        let error = load_or_create(folder.path(), Vec::new())
            .expect_err("damaged")
            .to_string();
        assert!(error.contains("each device has to pin again"), "{error}");
    }

    #[test]
    fn without_names_it_goes_by_those_of_the_machine() {
        let names = machine_names();
        assert!(
            LOOPBACK
                .iter()
                .all(|name| names.iter().any(|known| known == name)),
            "{names:?}"
        );
        let key = new_key().expect("a key");
        let certificate = super::create(&key, &names).expect("a certificate");
        assert!(
            names.iter().all(|name| certificate.is_valid_for(name)),
            "{names:?}"
        );
    }
}
