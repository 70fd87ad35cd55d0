//! TLS to a relay: 1.3 only, and whom to believe.
//!
//! A relay with a name is known by a certificate that the system trusts. One that made its own is
//! known by its key, which a person carries to the device: exactly that key, and nobody else's word.

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

/// What a relay is known by that made its own certificate: the SHA-256 of its public key, as a
/// SubjectPublicKeyInfo. Its text is base64url.
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

/// With a key, that key alone is good; without, the system's certificates (or those that
/// `SSL_CERT_FILE` names) decide.
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
            "this system has no list of trusted certificates; install ca-certificates or set SSL_CERT_FILE"
                .to_owned(),
        );
    }
    Ok(roots)
}

/// Takes one public key, whatever name, dates and issuer stand around it. That the relay has the
/// private one is checked as always.
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

/// What went wrong, and what a person can do.
pub fn explain(error: &io::Error) -> String {
    let cause = error
        .get_ref()
        .and_then(|cause| cause.downcast_ref::<Error>());
    match cause {
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            "something answers there that does not speak TLS; perhaps its address begins with ws://"
                .to_owned()
        }
        Some(Error::InvalidCertificate(why)) => explain_certificate(why),
        Some(Error::AlertReceived(alert)) => {
            format!("the relay broke off the TLS handshake ({alert:?}); does it speak TLS 1.3?")
        }
        Some(Error::PeerIncompatible(_)) => {
            "what answers there does not speak TLS 1.3, which a relay does".to_owned()
        }
        _ => format!("TLS: {error}"),
    }
}

fn explain_certificate(why: &CertificateError) -> String {
    use CertificateError as Why;
    match why {
        Why::ApplicationVerificationFailure => {
            "the relay shows another key than the one in its address (behind #). Either it was set up \
             anew, or something stands between this device and it. Compare with what `graceful-relay \
             status` says on the relay's machine, before you trust it"
                .to_owned()
        }
        Why::UnknownIssuer | Why::BadSignature => {
            "nobody whom this system trusts vouches for the relay's certificate. If the \
                               relay made its own, dial it with its key: wss://HOST#KEY, as `graceful-relay \
                               serve` and `status` show it on the relay's machine"
                .to_owned()
        }
        Why::NotValidForName | Why::NotValidForNameContext { .. } => {
            format!("the certificate there is for another name: {}", Error::InvalidCertificate(why.clone()))
        }
        Why::Expired | Why::ExpiredContext { .. } => {
            "the relay's certificate has expired, or this device's clock is wrong".to_owned()
        }
        Why::NotValidYet | Why::NotValidYetContext { .. } => {
            "the relay's certificate is not valid yet; is this device's clock right?".to_owned()
        }
        why => format!("TLS: {}", Error::InvalidCertificate(why.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(error: Error) -> String {
        explain(&io::Error::new(io::ErrorKind::InvalidData, error))
    }

    #[test]
    fn troubles_say_what_to_do() {
        assert!(told(Error::InvalidMessage(InvalidMessage::InvalidContentType)).contains("ws://"));
        assert!(told(CertificateError::UnknownIssuer.into()).contains("wss://HOST#KEY"));
        assert!(told(CertificateError::NotValidYet.into()).contains("clock"));
        assert!(told(CertificateError::Expired.into()).contains("expired"));
    }

    #[test]
    fn a_key_is_written_in_one_way() {
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
