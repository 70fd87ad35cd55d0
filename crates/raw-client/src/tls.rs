//! TLS to a relay: version 1.3 only.
//!
//! A relay with a domain is verified by the system's trusted certificates. A relay with a
//! self-signed certificate is pinned by its public key, which a person transfers to the device.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, InvalidMessage, PeerIncompatible,
    RootCertStore, SignatureScheme,
};
use sha2::{Digest, Sha256};

/// A pinned relay key: the SHA-256 of its SubjectPublicKeyInfo, as base64url text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RelayKey([u8; 32]);

impl FromStr for RelayKey {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| ())?;
        bytes.try_into().map(Self).map_err(|_| ())
    }
}

impl fmt::Display for RelayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for RelayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Verifies the pinned key if there is one; otherwise the system's certificates, or those in
/// `SSL_CERT_FILE`.
pub fn config(key: Option<RelayKey>) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?;
    let mut config = match key {
        Some(key) => {
            let pinned = Arc::new(Pinned { key, provider });
            config
                .dangerous()
                .with_custom_certificate_verifier(pinned)
                .with_no_client_auth()
        }
        None => config
            .with_root_certificates(system_roots()?)
            .with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        return Err(
            "this system has no trusted certificates; install ca-certificates or set \
             SSL_CERT_FILE"
                .to_owned(),
        );
    }
    Ok(roots)
}

/// Accepts one public key and ignores name, dates and issuer. Possession of the private key is
/// verified as usual.
#[derive(Debug)]
struct Pinned {
    key: RelayKey,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = ParsedCertificate::try_from(end_entity)?.subject_public_key_info();
        let shown = RelayKey(Sha256::digest(shown).into());
        if shown != self.key {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Explains a TLS error and the next step.
pub fn explain(error: &io::Error) -> String {
    let cause = error
        .get_ref()
        .and_then(|cause| cause.downcast_ref::<Error>());
    match cause {
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            "the server does not speak TLS; check whether its address starts with ws://".to_owned()
        }
        Some(Error::InvalidCertificate(why)) => explain_certificate(why),
        Some(Error::AlertReceived(alert)) => {
            format!("relay aborted the TLS handshake ({alert:?}); check that it supports TLS 1.3")
        }
        Some(Error::PeerIncompatible(_)) => {
            "the server does not support TLS 1.3; check the address".to_owned()
        }
        _ => format!("TLS: {error}"),
    }
}

fn explain_certificate(why: &CertificateError) -> String {
    use CertificateError as Why;
    match why {
        Why::ApplicationVerificationFailure => {
            "relay key does not match the key in its address (after #): the relay was \
             reinstalled, or the connection is intercepted; compare with `graceful-relay \
             status` on the relay before trusting it"
                .to_owned()
        }
        Why::UnknownIssuer | Why::BadSignature => {
            "relay certificate is not trusted by this system; if it is self-signed, use \
             the address with its key, wss://HOST#KEY, as printed by `graceful-relay \
             serve` and `status`"
                .to_owned()
        }
        Why::NotValidForName | Why::NotValidForNameContext { .. } => {
            format!(
                "relay certificate is for another host name: {}",
                Error::InvalidCertificate(why.clone())
            )
        }
        Why::Expired | Why::ExpiredContext { .. } => {
            "relay certificate has expired; renew it, or check this device's clock".to_owned()
        }
        Why::NotValidYet | Why::NotValidYetContext { .. } => {
            "relay certificate is not valid yet; check this device's clock".to_owned()
        }
        why => format!("TLS: {}", Error::InvalidCertificate(why.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(error: Error) -> String {
        explain(&io::Error::new(io::ErrorKind::InvalidData, error))
    }

    #[test]
    fn tls_errors_name_the_next_step() {
        assert!(
            explained(Error::InvalidMessage(InvalidMessage::InvalidContentType)).contains("ws://")
        );
        assert!(explained(CertificateError::UnknownIssuer.into()).contains("wss://HOST#KEY"));
        assert!(explained(CertificateError::NotValidYet.into()).contains("clock"));
        assert!(explained(CertificateError::Expired.into()).contains("expired"));
    }

    #[test]
    fn relay_key_text_is_canonical() {
        let text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        assert_eq!(
            text.parse::<RelayKey>().map(|key| key.to_string()),
            Ok(text.to_owned())
        );
        for wrong in [
            "",
            &text[1..],
            &format!("{text}="),
            &format!("{}9", &text[..42]),
            "key",
        ] {
            assert!(wrong.parse::<RelayKey>().is_err(), "{wrong}");
        }
    }
}
