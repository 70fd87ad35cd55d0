//! One order: from an account to a certificate or an error.

use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_acme::{
    AccountCache, AcmeConfig, CertCache, EventError, EventOk, OrderError, UseChallenge,
};

use super::super::cert_resolver::CertResolver;
use super::super::certificate::Certificate;
use super::AcmeSetup;
use crate::net::tls::provider::provider;

/// Longer than any authority takes that responds at all.
const ORDER_TIME_MAX: Duration = Duration::from_secs(10 * 60);

/// Characters of an authority's error that are passed on.
const REASON_MAX: usize = 400;

/// The challenge that proves control of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// tls-alpn-01: the authority opens a TLS connection to port 443.
    TlsAlpn,
    /// http-01: the authority fetches a file from port 80.
    Http,
}

type Failure = EventError<std::io::Error, std::io::Error>;

/// Returns the certificate and its PEM form.
pub(super) async fn order(
    setup: &AcmeSetup,
    account: &Path,
    resolver: &CertResolver,
) -> Result<(Certificate, Vec<u8>), String> {
    let shelf = OrderCache {
        account: account.to_owned(),
        issued: Arc::default(),
    };
    let issued = shelf.issued.clone();
    let contact = setup
        .contact
        .iter()
        .map(|address| format!("mailto:{address}"));
    let mut state = AcmeConfig::new_with_client_config(&setup.names, client_config(setup)?)
        .directory(&setup.directory)
        .contact(contact)
        .cache(shelf)
        .challenge_type(match setup.challenge {
            Challenge::TlsAlpn => UseChallenge::TlsAlpn01,
            Challenge::Http => UseChallenge::Http01,
        })
        .state();
    resolver.set_challenges(Some(state.resolver()));
    let done = async {
        loop {
            match state.next().await {
                Some(Ok(EventOk::CertCacheStore)) => return Ok(()),
                Some(Ok(_)) => {}
                // Polled once more, it would order again after a second.
                Some(Err(error)) => return Err(reason(&error)),
                None => return Err("the order ended without a result".to_owned()),
            }
        }
    };
    let done = tokio::time::timeout(ORDER_TIME_MAX, done).await;
    resolver.set_challenges(None);
    done.map_err(|_| format!("no response within {} s", ORDER_TIME_MAX.as_secs()))??;
    let pem = issued.lock().take().unwrap_or_default();
    Ok((Certificate::from_pem(&pem, &pem)?, pem))
}

/// The roots that authenticate the authority's server.
fn client_config(setup: &AcmeSetup) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    let usable = match &setup.authority {
        Some(path) => {
            let pem = std::fs::read(path)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            roots
                .add_parsable_certificates(
                    CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok),
                )
                .0
        }
        None => {
            roots
                .add_parsable_certificates(rustls_native_certs::load_native_certs().certs)
                .0
        }
    };
    if usable == 0 {
        return Err(match &setup.authority {
            Some(path) => format!("{} holds no certificate in PEM form", path.display()),
            None => {
                "this system has no trusted root certificates; install ca-certificates".to_owned()
            }
        });
    }
    let config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Returns the authority's error instead of its whole response.
fn reason(error: &Failure) -> String {
    let text = match error {
        EventError::Order(OrderError::BadAuth(auth)) => {
            let problems = auth
                .challenges
                .iter()
                .filter_map(|challenge| challenge.error.as_ref());
            let details: Vec<_> = problems
                .filter_map(|problem| problem.detail.clone())
                .collect();
            let rustls_acme::acme::Identifier::Dns(name) = &auth.identifier;
            format!("the challenge for {name} failed: {}", details.join("; "))
        }
        error => error.to_string(),
    };
    text.chars().take(REASON_MAX).collect()
}

/// The cache of rustls-acme: the account on disk, the certificate in memory. It never returns a
/// certificate, so that each run is one order.
struct OrderCache {
    account: PathBuf,
    issued: Arc<Mutex<Option<Vec<u8>>>>,
}

#[async_trait]
impl CertCache for OrderCache {
    type EC = std::io::Error;

    async fn load_cert(
        &self,
        _names: &[String],
        _directory: &str,
    ) -> Result<Option<Vec<u8>>, Self::EC> {
        Ok(None)
    }

    async fn store_cert(
        &self,
        _names: &[String],
        _directory: &str,
        pem: &[u8],
    ) -> Result<(), Self::EC> {
        *self.issued.lock() = Some(pem.to_vec());
        Ok(())
    }
}

#[async_trait]
impl AccountCache for OrderCache {
    type EA = std::io::Error;

    async fn load_account(
        &self,
        _contact: &[String],
        _directory: &str,
    ) -> Result<Option<Vec<u8>>, Self::EA> {
        graceful_fs_util::read_optional(&self.account)
    }

    async fn store_account(
        &self,
        _contact: &[String],
        _directory: &str,
        key: &[u8],
    ) -> Result<(), Self::EA> {
        graceful_fs_util::atomic_write(&self.account, key)
    }
}
