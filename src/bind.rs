//! Taking the ports, or saying why they cannot be had.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::anyhow;
use tokio::net::TcpListener;

/// Ports below need a right that ordinary users lack.
const FREE_PORT_MIN: u16 = 1024;

/// `option` is the setting that the address came from.
pub(super) async fn bind(address: SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    let bound = match TcpListener::bind(address).await {
        // "Every address" means the older family alone where there is no newer one.
        Err(error) if is_without_ipv6(address, &error) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    };
    bound.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow!(
            "port {} on {} is taken by another program (perhaps a relay that runs already); \
             stop that one, or choose another port with {option}",
            address.port(),
            address.ip()
        ),
        ErrorKind::PermissionDenied if address.port() < FREE_PORT_MIN => anyhow!(
            "this user may not listen on {address}; give the service the right \
             (AmbientCapabilities=CAP_NET_BIND_SERVICE), or choose a port above 1023 with {option}"
        ),
        ErrorKind::AddrNotAvailable => {
            anyhow!(
                "{} is not an address of this machine; change {option}",
                address.ip()
            )
        }
        _ => anyhow!("cannot listen on {address} ({option}): {error}"),
    })
}

fn is_without_ipv6(address: SocketAddr, error: &std::io::Error) -> bool {
    let taken = matches!(
        error.kind(),
        ErrorKind::AddrInUse | ErrorKind::PermissionDenied
    );
    address.is_ipv6() && address.ip().is_unspecified() && !taken
}
