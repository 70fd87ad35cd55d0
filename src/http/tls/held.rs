//! The certificate in service, which can be exchanged while connections come in.

use std::sync::{Arc, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;

#[derive(Debug)]
pub(super) struct Held {
    certificate: RwLock<Arc<Certificate>>,
}

impl Held {
    pub(super) fn new(certificate: Certificate) -> Self {
        Self { certificate: RwLock::new(Arc::new(certificate)) }
    }

    pub(super) fn now(&self) -> Arc<Certificate> {
        self.certificate.read().expect("nobody panics holding it").clone()
    }

    /// For handshakes from now on; who is connected stays so.
    pub(super) fn replace(&self, certificate: Certificate) {
        *self.certificate.write().expect("nobody panics holding it") = Arc::new(certificate);
    }
}

impl ResolvesServerCert for Held {
    /// The same for every name: a device that dialled a wrong one finds that out by the certificate.
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now().certified.clone())
    }
}
