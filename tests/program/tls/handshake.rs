//! Supported and refused TLS versions, suites and protocols.

use std::sync::Arc;
use std::time::Duration;

use graceful_server::http::Options;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::{NamedGroup, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::harness::TestRelay;
use graceful_testing::server::{LONG, options};

/// A client that knows nothing newer than TLS 1.2, byte by byte.
fn hello_of_tls_1_2() -> Vec<u8> {
    let suites = [
        0xc02b_u16, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0x009c, 0x002f,
    ];
    let extensions: [(u16, &[u8]); 3] = [
        // supported_groups: x25519, P-256; ec_point_formats; signature_algorithms: ECDSA and RSA.
        (10, &[0, 4, 0, 29, 0, 23]),
        (11, &[1, 0]),
        (13, &[0, 6, 4, 3, 8, 4, 4, 1]),
    ];
    let extensions: Vec<u8> = extensions
        .iter()
        .flat_map(|(kind, body)| {
            [
                &kind.to_be_bytes()[..],
                &(body.len() as u16).to_be_bytes(),
                body,
            ]
            .concat()
        })
        .collect();
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    hello.push(0);
    hello.extend((suites.len() as u16 * 2).to_be_bytes());
    hello.extend(suites.iter().flat_map(|suite| suite.to_be_bytes()));
    hello.extend([1, 0]);
    hello.extend((extensions.len() as u16).to_be_bytes());
    hello.extend(extensions);
    let message = [&[1, 0][..], &(hello.len() as u16).to_be_bytes(), &hello].concat();
    [
        &[22, 3, 1][..],
        &(message.len() as u16).to_be_bytes(),
        &message,
    ]
    .concat()
}

#[tokio::test]
async fn tls_1_2_handshake_is_refused() {
    let relay_under_test = TestRelay::open(options()).await;
    let mut stream = TcpStream::connect(relay_under_test.address)
        .await
        .expect("open");
    stream.write_all(&hello_of_tls_1_2()).await.expect("open");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an end");
    // A fatal alert: protocol_version.
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, 70]);
}

#[tokio::test]
async fn key_exchange_prefers_post_quantum() {
    let relay_under_test = TestRelay::open(options()).await;
    let stream = relay_under_test.connect().await;
    let (_, connection) = stream.get_ref();
    assert_eq!(
        connection.protocol_version(),
        Some(ProtocolVersion::TLSv1_3)
    );
    let group = connection
        .negotiated_key_exchange_group()
        .expect("a group")
        .name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
    assert_eq!(connection.alpn_protocol(), Some(&b"http/1.1"[..]));

    let mut provider = default_provider();
    provider.kx_groups = vec![kx_group::X25519];
    let stream = relay_under_test
        .shake(client(&relay_under_test, provider))
        .await
        .expect("the older exchange is spoken too");
    let group = stream
        .get_ref()
        .1
        .negotiated_key_exchange_group()
        .expect("a group")
        .name();
    assert_eq!(group, NamedGroup::X25519);
}

#[tokio::test]
async fn every_tls_1_3_suite_is_supported() {
    let relay_under_test = TestRelay::open(options()).await;
    for suite in [
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS13_AES_256_GCM_SHA384,
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ] {
        let mut provider = default_provider();
        provider.cipher_suites = vec![suite];
        let stream = relay_under_test
            .shake(client(&relay_under_test, provider))
            .await
            .expect("spoken");
        let spoken = stream
            .get_ref()
            .1
            .negotiated_cipher_suite()
            .expect("a suite");
        assert_eq!(spoken.suite(), suite.suite());
    }
}

fn client(
    relay_under_test: &TestRelay,
    provider: rustls::crypto::CryptoProvider,
) -> rustls::ClientConfig {
    let trusting = relay_under_test.authority.client();
    let mut roots = rustls::RootCertStore::empty();
    let pem = relay_under_test.authority.root_pem();
    let root = rustls::pki_types::pem::PemObject::from_pem_slice(pem.as_bytes()).expect("a root");
    roots.add(root).expect("a root");
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = trusting.alpn_protocols;
    config
}

#[tokio::test]
async fn certificate_chain_leads_to_root() {
    let relay_under_test = TestRelay::open(options()).await;
    let stream = relay_under_test.connect().await;
    let chain = stream.get_ref().1.peer_certificates().expect("a chain");
    assert_eq!(chain.len(), 2);
    assert_eq!(&chain[1], relay_under_test.authority.between());
}

#[tokio::test]
async fn unknown_alpn_protocol_is_refused() {
    let relay_under_test = TestRelay::open(options()).await;
    let mut client = relay_under_test.authority.client();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let error = relay_under_test
        .shake(client)
        .await
        .expect_err("refused")
        .to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
}

#[tokio::test]
async fn missing_tls_handshake_times_out() {
    let relay_under_test = TestRelay::open(Options {
        handshake_timeout: Duration::from_millis(50),
        ..options()
    })
    .await;
    for beginning in [&[][..], &hello_of_tls_1_2()[..20]] {
        let mut stream = TcpStream::connect(relay_under_test.address)
            .await
            .expect("open");
        stream.write_all(beginning).await.expect("open");
        let mut rest = Vec::new();
        // Ended or reset: it is over.
        let ended = tokio::time::timeout(LONG, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "it is waited for");
        assert!(rest.is_empty(), "{rest:?}");
    }
    assert!(
        relay_under_test
            .ask("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 200")
    );
}
