//! The PROXY protocol, version 2. Its header is binary and states its length, so no byte beyond it
//! is read. Version 1, which is text, is not supported.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const HEAD_BYTES: usize = 16;
/// Addresses and the proxy's own extensions.
const BODY_BYTES_MAX: usize = 2_048;

/// Whether trusted proxies send a PROXY protocol header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProxyHeader {
    /// They do not; they send X-Forwarded-For.
    #[default]
    Off,
    /// They always do. A connection without it is rejected.
    Required,
}

/// The reason why a header was rejected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyHeaderError {
    #[error("the connection ended within the PROXY header: {0}")]
    Ended(#[from] io::Error),
    #[error("not a PROXY protocol header of version 2")]
    Malformed,
}

/// Reads the header. `None`: the proxy connects on its own behalf, for example for a health check.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<IpAddr>, ProxyHeaderError> {
    let mut head = [0; HEAD_BYTES];
    stream.read_exact(&mut head).await?;
    let [.., version, family, high, low] = head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if head[..12] != SIGNATURE || version >> 4 != 2 || length > BODY_BYTES_MAX {
        return Err(ProxyHeaderError::Malformed);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    match (version & 0x0f, family) {
        (0, _) | (1, 0) => Ok(None),
        (1, 0x11) => v4(&body).map(Some).ok_or(ProxyHeaderError::Malformed),
        (1, 0x21) => v6(&body).map(Some).ok_or(ProxyHeaderError::Malformed),
        _ => Err(ProxyHeaderError::Malformed),
    }
}

/// Source and destination address, source and destination port, extensions.
fn v4(body: &[u8]) -> Option<IpAddr> {
    let source: [u8; 4] = *body.first_chunk()?;
    (body.len() >= 12).then(|| Ipv4Addr::from(source).into())
}

fn v6(body: &[u8]) -> Option<IpAddr> {
    let source: [u8; 16] = *body.first_chunk()?;
    (body.len() >= 36).then(|| Ipv6Addr::from(source).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0x20 | command, family]);
        bytes.extend(u16::try_from(body.len()).expect("short").to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<Option<IpAddr>, ProxyHeaderError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        runtime.block_on(read(&mut { bytes }))
    }

    #[test]
    fn the_caller_is_read_and_not_a_byte_more() {
        let body = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 0, 80];
        let mut bytes = header(1, 0x11, &[&body[..], b"\x04\0\0"].concat());
        bytes.extend(b"GET / HTTP/1.1");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let mut stream = &bytes[..];
        let named = runtime.block_on(read(&mut stream)).expect("a header");
        assert_eq!(named, Some("192.0.2.1".parse().expect("an address")));
        assert_eq!(stream, b"GET / HTTP/1.1");
        let mut body = [0; 36];
        body[..2].copy_from_slice(&[0x20, 0x01]);
        let named = parse(&header(1, 0x21, &body)).expect("a header");
        assert_eq!(named, Some("2001::".parse().expect("an address")));
    }

    #[test]
    fn a_proxy_may_speak_for_itself() {
        assert_eq!(parse(&header(0, 0, b"")).expect("a header"), None);
        assert_eq!(parse(&header(1, 0, b"anything")).expect("a header"), None);
    }

    #[test]
    fn what_is_not_quite_one_is_none() {
        let whole = header(1, 0x11, &[0; 12]);
        for cut in 0..whole.len() {
            assert!(
                matches!(parse(&whole[..cut]), Err(ProxyHeaderError::Ended(_))),
                "{cut}"
            );
        }
        for wrong in [
            header(1, 0x11, &[0; 11]),
            header(1, 0x21, &[0; 12]),
            header(1, 0x31, &[0; 216]),
            header(2, 0x11, &[0; 12]),
            header(1, 0x11, &[0; BODY_BYTES_MAX + 1]),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 80\r\n".to_vec(),
        ] {
            assert!(
                matches!(parse(&wrong), Err(ProxyHeaderError::Malformed)),
                "{wrong:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_an_end(bytes: Vec<u8>) {
            let _ = parse(&bytes);
            let _ = parse(&header(1, 0x11, &bytes[..bytes.len().min(100)]));
        }
    }
}
