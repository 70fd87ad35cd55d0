//! Binding TCP listeners, with an explanation when it fails.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::anyhow;
use tokio::net::TcpListener;

/// Lower ports need a privilege.
const FREE_PORT_MIN: u16 = 1024;

/// `option` names the option that set the address.
pub(super) async fn bind(address: SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    let bound = match TcpListener::bind(address).await {
        // Without IPv6, `[::]` means `0.0.0.0`.
        Err(error) if is_without_ipv6(address, &error) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    };
    bound.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow!(
            "port {} on {} is in use by another program, perhaps another relay; stop it, or set another port \
             with {option}",
            address.port(),
            address.ip()
        ),
        ErrorKind::PermissionDenied if address.port() < FREE_PORT_MIN => anyhow!(
            "cannot listen on {address}: permission denied; add AmbientCapabilities=CAP_NET_BIND_SERVICE to the \
             service, or set a port above 1023 with {option}"
        ),
        ErrorKind::AddrNotAvailable => {
            anyhow!(
                "cannot listen on {}: not an address of this machine; change {option}",
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
