//! The client's IP address. X-Forwarded-For is trusted from the proxies in `server.trusted_proxies`
//! only.

use std::net::IpAddr;

use ipnet::IpNet;
use warp::http::header::{HeaderMap, HeaderName};

/// Each proxy appends the address that it was called from.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Hops that are read, from the nearest.
const HOPS_MAX: usize = 16;

/// A network in `server.trusted_proxies` that cannot be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a network is an address or a CIDR block, such as 10.0.0.0/8 or fd00::/8")]
pub struct InvalidNetwork;

/// Parses an address or a CIDR block.
///
/// # Errors
/// [`InvalidNetwork`]
pub fn parse_network(text: &str) -> Result<IpNet, InvalidNetwork> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse()
        .or_else(|_| address())
        .map_err(|_| InvalidNetwork)
}

/// Returns whether a peer is a trusted proxy.
pub(crate) fn is_trusted_proxy(trusted: &[IpNet], peer: IpAddr) -> bool {
    let peer = peer.to_canonical();
    trusted.iter().any(|network| network.contains(&peer))
}

/// Returns the last hop in X-Forwarded-For that is not a trusted proxy; the ones before it are
/// unverified. `None` if there is none or it cannot be parsed.
pub(crate) fn from_x_forwarded_for(trusted: &[IpNet], headers: &HeaderMap) -> Option<IpAddr> {
    let lines: Vec<&str> = headers
        .get_all(X_FORWARDED_FOR)
        .into_iter()
        .map(|line| line.to_str().unwrap_or("?"))
        .collect();
    let hops = lines.iter().rev().flat_map(|line| line.rsplit(','));
    for hop in hops.take(HOPS_MAX) {
        let address = hop_address(hop.trim())?;
        if !is_trusted_proxy(trusted, address) {
            return Some(address);
        }
    }
    None
}

/// Parses an address, which some proxies write with a port.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let with_port = || {
        hop.parse()
            .ok()
            .map(|address: std::net::SocketAddr| address.ip())
    };
    hop.trim_matches(['[', ']']).parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> IpNet {
        parse_network(text).expect("a network")
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn headers(lines: &[&str]) -> HeaderMap {
        let line = |line: &&str| (X_FORWARDED_FOR, line.parse().expect("a header"));
        lines.iter().map(line).collect()
    }

    #[test]
    fn network_accepts_address_or_cidr_block() {
        let contains = |text, peer| is_trusted_proxy(&[network(text)], address(peer));
        assert!(contains("10.0.0.0/8", "10.255.0.1"));
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(!contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("192.0.2.7", "192.0.2.7"));
        assert!(!contains("192.0.2.7", "192.0.2.6"));
        assert!(contains("fd00::/8", "fdff::1"));
        assert!(!contains("fd00::/8", "10.0.0.1"));
        assert!(contains("0.0.0.0/0", "203.0.113.9"));
        for text in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/x",
            "10.0.0/8",
            "example.org",
        ] {
            assert_eq!(parse_network(text), Err(InvalidNetwork), "{text}");
        }
    }

    #[test]
    fn x_forwarded_for_returns_last_untrusted_hop() {
        let trusted = [network("10.0.0.0/8"), network("::1")];
        let named = |lines: &[&str]| from_x_forwarded_for(&trusted, &headers(lines));
        assert_eq!(named(&["192.0.2.1"]), Some(address("192.0.2.1")));
        assert_eq!(
            named(&["203.0.113.9, 192.0.2.1"]),
            Some(address("192.0.2.1")),
            "the first is a claim"
        );
        assert_eq!(
            named(&["192.0.2.1, 10.0.0.2"]),
            Some(address("192.0.2.1")),
            "a proxy behind a proxy"
        );
        assert_eq!(
            named(&["203.0.113.9", "192.0.2.1, ::1"]),
            Some(address("192.0.2.1")),
            "lines are one list"
        );
        assert_eq!(named(&["192.0.2.1:4711"]), Some(address("192.0.2.1")));
        assert_eq!(named(&["[2001:db8::1]:4711"]), Some(address("2001:db8::1")));
        assert_eq!(named(&["[2001:db8::1]"]), Some(address("2001:db8::1")));
        assert_eq!(
            named(&["192.0.2.1, nonsense"]),
            None,
            "what cannot be read is not passed over"
        );
        assert_eq!(named(&["10.0.0.1"]), None);
        assert_eq!(named(&[]), None);
        assert_eq!(named(&[&"10.0.0.1,".repeat(10_000)]), None);
    }
}
