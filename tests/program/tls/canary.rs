//! The relay's canary through its own listener and proxies.

use graceful_server::http::{self, Admission, Options, ProxyHeader};
use graceful_server::observe::{CanaryRunner, CanaryTarget};

use super::harness::TestRelay;
use graceful_testing::server;

/// Of a listener that believes these proxies, and only what they say first.
fn behind(proxy: &str) -> Admission {
    let trusted_proxies = vec![http::parse_network(proxy).expect("a network")];
    Admission {
        trusted_proxies,
        proxy_header: ProxyHeader::Required,
        ..Admission::default()
    }
}

#[tokio::test]
async fn canary_uses_own_tls() {
    for admission in [
        Admission::default(),
        behind("127.0.0.1"),
        behind("10.0.0.1"),
    ] {
        let relay_under_test = TestRelay::open(Options {
            admission: admission.clone(),
            ..server::options()
        })
        .await;
        let way = CanaryTarget::new(
            relay_under_test.address,
            Some(relay_under_test.tls.clone()),
            &admission,
        );
        assert!(
            CanaryRunner::new(relay_under_test.relay.clone(), way)
                .run_once()
                .await,
            "{:?}",
            relay_under_test.relay.canary().last_result()
        );
    }
}

#[tokio::test]
async fn canary_sends_proxy_header_to_trusting_listener_only() {
    for (proxy, says) in [
        ("127.0.0.1", true),
        ("127.0.0.0/8", true),
        ("10.0.0.1", false),
    ] {
        let admission = behind(proxy);
        let server = server::open(Options {
            admission: admission.clone(),
            ..server::options()
        })
        .await;
        let way = CanaryTarget::new(server.address, None, &admission);
        assert_eq!(way.proxy_header, says);
        assert!(
            CanaryRunner::new(server.relay.clone(), way)
                .run_once()
                .await,
            "{:?}",
            server.relay.canary().last_result()
        );
        server.stop().await;
    }
}
