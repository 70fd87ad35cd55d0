//! The certificate in use, which can be replaced while connections arrive, and the responses to
//! ACME challenges.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_acme::{ResolvesServerCertAcme, is_tls_alpn_challenge};

use super::certificate::Certificate;

#[derive(Debug)]
pub(super) struct CertResolver {
    certificate: RwLock<Arc<Certificate>>,
    /// Set while an order runs.
    challenges: Mutex<Option<Arc<ResolvesServerCertAcme>>>,
    /// Set during a self check: the token and its response.
    self_check: Mutex<Option<(String, String)>>,
}

impl CertResolver {
    pub(super) fn new(certificate: Certificate) -> Self {
        Self {
            certificate: RwLock::new(Arc::new(certificate)),
            challenges: Mutex::default(),
            self_check: Mutex::default(),
        }
    }

    pub(super) fn current(&self) -> Arc<Certificate> {
        self.certificate.read().clone()
    }

    /// Replaces the certificate for new handshakes. Open connections keep theirs.
    pub(super) fn replace(&self, certificate: Certificate) {
        *self.certificate.write() = Arc::new(certificate);
    }

    pub(super) fn set_challenges(&self, challenges: Option<Arc<ResolvesServerCertAcme>>) {
        *self.challenges.lock() = challenges;
    }

    pub(super) fn set_self_check(&self, check: Option<(String, String)>) {
        *self.self_check.lock() = check;
    }

    /// Returns the response to an http-01 challenge.
    pub(super) fn http01_response(&self, token: &str) -> Option<String> {
        let own = self.self_check.lock().clone();
        let own = own
            .filter(|(asked, _)| asked == token)
            .map(|(_, answer)| answer);
        own.or_else(|| self.challenges()?.get_http_01_key_auth(token))
    }

    fn challenges(&self) -> Option<Arc<ResolvesServerCertAcme>> {
        self.challenges.lock().clone()
    }
}

impl ResolvesServerCert for CertResolver {
    /// The same certificate for every name: a device that dials a wrong name notices it by the
    /// certificate.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if is_tls_alpn_challenge(&hello) {
            return self.challenges()?.resolve(hello);
        }
        Some(self.current().certified.clone())
    }
}
