//! The self check before the first order: whether the names lead to this relay. An authority counts
//! each failure.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::cert_resolver::CertResolver;
use super::super::self_connect::connect;
use super::{AcmeSetup, Challenge};
use crate::net::tls::provider::provider;

/// The timeout for one address.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// Bytes of a response that are read.
const ANSWER_BYTES_MAX: u64 = 8 * 1024;

/// Returns why the names do not lead here, and what to do.
pub(super) async fn check(
    resolver: &Arc<CertResolver>,
    setup: &AcmeSetup,
    port: u16,
) -> Result<(), String> {
    for name in &setup.names {
        let found = tokio::net::lookup_host((name.as_str(), port)).await;
        let addresses: Vec<_> = found.map(Iterator::collect).unwrap_or_default();
        if addresses.is_empty() {
            return Err(format!(
                "{name} has no DNS record; add one with the address of this machine"
            ));
        }
        let mut silent = Vec::new();
        for address in &addresses {
            match tokio::time::timeout(
                ANSWER_WAIT,
                is_this_relay(resolver, setup.challenge, name, *address),
            )
            .await
            {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => {
                    return Err(format!(
                        "{name} leads to {address}, where something else answers; correct the DNS record, or \
                         forward port {port} in the router{SKIP}"
                    ));
                }
                Ok(Err(_)) | Err(_) => silent.push(address.to_string()),
            }
        }
        // A CA tries another address if one does not answer.
        if silent.len() == addresses.len() {
            return Err(format!(
                "{name} leads to {}, where nothing answers; open port {port} in the firewall and \
                 forward it in the router{SKIP}",
                silent.join(" and ")
            ));
        }
    }
    Ok(())
}

const SKIP: &str =
    " (if only this machine cannot reach itself by its public address: acme.self_check = false)";

async fn is_this_relay(
    resolver: &Arc<CertResolver>,
    how: Challenge,
    name: &str,
    address: SocketAddr,
) -> std::io::Result<bool> {
    let stream = TcpStream::connect(address).await?;
    match how {
        Challenge::TlsAlpn => Ok(shows_our_certificate(resolver, name, stream).await),
        Challenge::Http => knows_our_secret(resolver, name, stream).await,
    }
}

/// Nobody else has the key of a certificate that was just created.
async fn shows_our_certificate(
    resolver: &Arc<CertResolver>,
    name: &str,
    stream: TcpStream,
) -> bool {
    connect(resolver, name, stream).await.is_ok()
}

async fn knows_our_secret(
    resolver: &CertResolver,
    name: &str,
    mut stream: TcpStream,
) -> std::io::Result<bool> {
    let mut random = [0; 32];
    provider()
        .secure_random
        .fill(&mut random)
        .map_err(|_| std::io::ErrorKind::Other)?;
    let (token, answer) = (
        HEXLOWER.encode(&random[..16]),
        HEXLOWER.encode(&random[16..]),
    );
    resolver.set_self_check(Some((token.clone(), answer.clone())));
    let request =
        format!("GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {name}\r\n\r\n");
    let mut said = Vec::new();
    let asked = async {
        stream.write_all(request.as_bytes()).await?;
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut said).await
    };
    let asked = asked.await;
    resolver.set_self_check(None);
    asked?;
    Ok(said.ends_with(answer.as_bytes()))
}
