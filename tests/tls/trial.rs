//! The relay's trial of itself, through whatever stands at its door.

use graceful_server::admin::{Trials, Way};
use graceful_server::http::{Admission, Options, ProxyHeader};

use crate::door;
use crate::house::House;

/// Of a listener that believes these proxies, and only what they say first.
fn behind(proxy: &str) -> Admission {
    let trusted_proxies = vec![proxy.parse().expect("an address")];
    Admission {
        trusted_proxies,
        proxy_header: ProxyHeader::Required,
        ..Admission::default()
    }
}

#[tokio::test]
async fn it_goes_through_tls_of_the_relays_own() {
    for admission in [
        Admission::default(),
        behind("127.0.0.1"),
        behind("10.0.0.1"),
    ] {
        let house = House::open(Options {
            admission: admission.clone(),
            ..door::options()
        })
        .await;
        let way = Way::to(house.address, Some(house.tls.clone()), &admission);
        assert!(
            Trials::new(house.relay.clone(), way).make().await,
            "{:?}",
            house.relay.health().trial()
        );
    }
}

#[tokio::test]
async fn it_says_that_nobody_is_behind_it_only_where_it_is_taken_for_a_proxy() {
    for (proxy, says) in [
        ("127.0.0.1", true),
        ("127.0.0.0/8", true),
        ("10.0.0.1", false),
    ] {
        let admission = behind(proxy);
        let door = door::open(Options {
            admission: admission.clone(),
            ..door::options()
        })
        .await;
        let way = Way::to(door.address, None, &admission);
        assert_eq!(way.proxy_header, says);
        assert!(
            Trials::new(door.relay.clone(), way).make().await,
            "{:?}",
            door.relay.health().trial()
        );
        door.stop().await;
    }
}
