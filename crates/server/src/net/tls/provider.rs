//! The cryptography of TLS.

use rustls::crypto::CryptoProvider;

/// Returns aws-lc-rs, which offers and prefers a post-quantum key exchange.
pub(super) fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}
