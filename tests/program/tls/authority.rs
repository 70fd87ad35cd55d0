//! A test certificate authority: a root, an intermediate, and the certificates they sign.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

pub struct Authority {
    root: Certificate,
    between: Certificate,
    between_key: KeyPair,
}

/// Two PEM files in a folder.
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key")
}

fn authority(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::new(Vec::new()).expect("no names");
    parameters
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn pair_in(folder: &Path) -> Pair {
    Pair {
        certificate: folder.join("chain.pem"),
        key: folder.join("key.pem"),
    }
}

impl Authority {
    pub fn new() -> Self {
        let (root_key, between_key) = (key(), key());
        let root = authority("Root").self_signed(&root_key).expect("signed");
        let between = authority("Between")
            .signed_by(&between_key, &root, &root_key)
            .expect("signed");
        Self {
            root,
            between,
            between_key,
        }
    }

    /// What trusts it.
    pub fn root_pem(&self) -> String {
        self.root.pem()
    }

    pub fn between(&self) -> &CertificateDer<'static> {
        self.between.der()
    }

    /// A chain for these names, and its key.
    pub fn chain(&self, names: &[&str]) -> (String, String) {
        self.signed(CertificateParams::new(owned(names)).expect("names"))
    }

    /// Files with a certificate that began 60 days ago and ends in `days_left` days, or ended.
    pub fn write_valid_for(&self, folder: &Path, names: &[&str], days_left: i64) -> Pair {
        let mut parameters = CertificateParams::new(owned(names)).expect("names");
        let now = SystemTime::now();
        let day = Duration::from_secs(86_400);
        let shift = day * u32::try_from(days_left.unsigned_abs()).expect("few");
        parameters.not_before = (now - day * 60).into();
        parameters.not_after = match days_left < 0 {
            true => (now - shift).into(),
            false => (now + shift).into(),
        };
        let pair = pair_in(folder);
        let (chain, key) = self.signed(parameters);
        pair.replace(&chain, &key);
        pair
    }

    fn signed(&self, parameters: CertificateParams) -> (String, String) {
        let key = key();
        let leaf = parameters
            .signed_by(&key, &self.between, &self.between_key)
            .expect("signed");
        (leaf.pem() + &self.between.pem(), key.serialize_pem())
    }

    /// The same as files.
    pub fn write(&self, folder: &Path, names: &[&str]) -> Pair {
        let pair = pair_in(folder);
        let (chain, key) = self.chain(names);
        pair.replace(&chain, &key);
        pair
    }

    /// A client that trusts the root alone.
    pub fn client(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config
    }
}

impl Pair {
    pub fn replace(&self, chain: &str, key: &str) {
        std::fs::write(&self.certificate, chain).expect("written");
        std::fs::write(&self.key, key).expect("written");
        self.allow(0o600);
    }

    pub fn allow(&self, mode: u32) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&self.key, std::fs::Permissions::from_mode(mode)).expect("ours");
    }
}
