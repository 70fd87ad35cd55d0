//! Where a connection comes from. Only a proxy on the operator's list is believed when it names
//! somebody else; what others claim is passed over.

use std::net::IpAddr;
use std::str::FromStr;

use warp::http::header::{HeaderMap, HeaderName};

/// Each proxy adds the address it was called from, at the end.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Hops that are looked at, from the nearest on.
const HOPS_MAX: usize = 16;

/// Addresses that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

/// Not a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a network is an address, or an address and the bits that count, like 10.0.0.0/8 or fd00::/8"
)]
pub struct NotANetwork;

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, bits) = text
            .split_once('/')
            .map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let most = width(address);
        let prefix_bits = bits.map_or(Ok(most), str::parse).map_err(|_| NotANetwork)?;
        if prefix_bits > most {
            return Err(NotANetwork);
        }
        Ok(Self {
            address,
            prefix_bits,
        })
    }
}

impl Network {
    /// Whether an address is in it. IPv4 is IPv4, also where it comes in the clothes of IPv6.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let unlike = match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros()
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros()
            }
            _ => return false,
        };
        unlike >= u32::from(self.prefix_bits)
    }
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// Whether a peer is a proxy that is believed.
pub(super) fn is_trusted_proxy(trusted: &[Network], peer: IpAddr) -> bool {
    trusted.iter().any(|network| network.contains(peer))
}

/// Whom a trusted proxy names: of the hops in its header the last that is no trusted proxy itself.
/// What stands before that was said by a stranger. `None`: nobody, or nothing that can be read.
pub(super) fn from_x_forwarded_for(trusted: &[Network], headers: &HeaderMap) -> Option<IpAddr> {
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

/// An address, which some proxies write with a port.
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

    fn network(text: &str) -> Network {
        text.parse().expect("a network")
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn headers(lines: &[&str]) -> HeaderMap {
        let line = |line: &&str| (X_FORWARDED_FOR, line.parse().expect("a header"));
        lines.iter().map(line).collect()
    }

    #[test]
    fn networks_hold_what_begins_alike() {
        assert!(network("10.0.0.0/8").contains(address("10.255.0.1")));
        assert!(network("10.0.0.0/8").contains(address("::ffff:10.1.2.3")));
        assert!(!network("10.0.0.0/8").contains(address("11.0.0.1")));
        assert!(network("192.0.2.7").contains(address("192.0.2.7")));
        assert!(!network("192.0.2.7").contains(address("192.0.2.6")));
        assert!(network("fd00::/8").contains(address("fdff::1")));
        assert!(!network("fd00::/8").contains(address("10.0.0.1")));
        assert!(network("0.0.0.0/0").contains(address("203.0.113.9")));
        for text in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/x",
            "10.0.0/8",
            "example.org",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NotANetwork), "{text}");
        }
    }

    #[test]
    fn the_last_hop_that_is_no_proxy_of_ours_counts() {
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
