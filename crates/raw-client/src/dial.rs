//! Dialling: from a relay address to a WebSocket, over TLS 1.3 except on loopback.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use tokio_util::io::{InspectReader, InspectWriter};

use super::tls::{self, RelayKey};
use graceful_protocol::SOCKET_PATH;

/// Longest time for dialling and both handshakes.
pub const DIAL_WAIT: Duration = Duration::from_secs(20);
/// Longest time for one of several addresses.
const ADDRESS_WAIT: Duration = Duration::from_secs(5);
/// Read buffer allocated per connection.
pub const READ_BUFFER_BYTES: usize = 16 * 1024;
/// Largest frame accepted from a relay, whatever its limits say.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// An invalid relay address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid relay address {url}: {what}")]
pub struct AddressError {
    /// The address as given.
    pub url: String,
    /// What is wrong with it.
    pub what: &'static str,
}

/// Connection options.
#[derive(Debug, Clone, Default)]
pub struct ConnectOptions {
    /// Allow `ws://` to another machine. Changes stay encrypted, but metadata is visible on the
    /// network.
    pub allow_plain: bool,
}

/// A parsed relay address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    tls: bool,
    /// Lower case, without port and brackets. This value is signed.
    pub host: String,
    port: u16,
    url: String,
    /// The pinned key, if the certificate is self-signed.
    key: Option<RelayKey>,
}

/// A byte stream below a WebSocket: TCP, or TLS over TCP.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A WebSocket to a relay.
pub type Socket = WebSocketStream<Box<dyn Stream>>;

/// Counts transferred bytes, to tell a slow connection from a dead one.
fn count_bytes(stream: TcpStream, transferred: &Arc<AtomicU64>) -> impl Stream + use<> {
    let count = || {
        let transferred = transferred.clone();
        move |bytes: &[u8]| {
            transferred.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
    };
    InspectWriter::new(InspectReader::new(stream, count()), count())
}

impl Address {
    /// Parses `wss://host[:port][/path][#key]`. `https` and `http` are accepted for `wss` and `ws`.
    pub fn parse(url: &str, options: &ConnectOptions) -> Result<Self, AddressError> {
        let wrong = |what| AddressError {
            url: url.to_owned(),
            what,
        };
        let (bare_url, key) = match url.trim().split_once('#') {
            Some((bare, key)) => (bare, Some(key)),
            None => (url.trim(), None),
        };
        let uri: Uri = bare_url
            .parse()
            .map_err(|_| wrong("write it as wss://relay.example"))?;
        let tls = match uri.scheme_str() {
            Some("wss" | "https") => true,
            Some("ws" | "http") => false,
            _ => return Err(wrong("it must start with wss://")),
        };
        let bare = uri
            .host()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| wrong("it has no host"))?;
        let host = bare
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_ascii_lowercase();
        if !tls && !options.allow_plain && !is_loopback(&host) {
            return Err(wrong(
                "ws:// to another machine is not encrypted; use wss://, or allow plain \
                 connections explicitly",
            ));
        }
        let key = key.map(str::parse).transpose().map_err(|()| {
            wrong(
                "the part after # is not a relay key; copy the whole address printed by \
                 `serve`",
            )
        })?;
        if key.is_some() && !tls {
            return Err(wrong("a pinned key needs TLS; use wss://"));
        }
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let path = uri
            .path()
            .trim_end_matches('/')
            .trim_end_matches(SOCKET_PATH);
        let scheme = if tls { "wss" } else { "ws" };
        let url = format!("{scheme}://{}:{port}{path}{SOCKET_PATH}", bracketed(&host));
        Ok(Self {
            tls,
            host,
            port,
            url,
            key,
        })
    }

    /// Returns the WebSocket and its count of transferred bytes.
    pub async fn dial(&self) -> Result<(Socket, Arc<AtomicU64>), String> {
        match tokio::time::timeout(DIAL_WAIT, self.try_dial()).await {
            Ok(result) => result,
            Err(_) => Err(format!("no answer within {} seconds", DIAL_WAIT.as_secs())),
        }
    }

    async fn try_dial(&self) -> Result<(Socket, Arc<AtomicU64>), String> {
        let (stream, transferred) = self.stream(self.tls_config()?).await?;
        let handshake = self.handshake(stream, READ_BUFFER_BYTES).await;
        handshake
            .map(|socket| (socket, transferred))
            .map_err(|error| format!("WebSocket handshake failed: {error}"))
    }

    /// Returns the TLS configuration, or `None` without TLS.
    pub fn tls_config(&self) -> Result<Option<Arc<ClientConfig>>, String> {
        if self.tls {
            tls::config(self.key).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Returns the stream below the WebSocket and its count of transferred bytes.
    pub async fn stream(
        &self,
        config: Option<Arc<ClientConfig>>,
    ) -> Result<(Box<dyn Stream>, Arc<AtomicU64>), String> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let addresses = alternating(found.map_err(|error| error.to_string())?.collect());
        let tcp = first_that_answers(addresses, ADDRESS_WAIT, TcpStream::connect).await?;
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        let transferred = Arc::new(AtomicU64::new(0));
        let tcp = count_bytes(tcp, &transferred);
        let stream: Box<dyn Stream> = if let Some(config) = config {
            let name =
                ServerName::try_from(self.host.clone()).map_err(|error| error.to_string())?;
            let connector = TlsConnector::from(config);
            Box::new(
                connector
                    .connect(name, tcp)
                    .await
                    .map_err(|error| tls::explain(&error))?,
            )
        } else {
            Box::new(tcp)
        };
        Ok((stream, transferred))
    }

    /// Performs the WebSocket handshake (RFC 6455, section 4) over `stream`.
    ///
    /// # Errors
    /// What tungstenite reports, an HTTP answer other than 101 included.
    pub async fn handshake(
        &self,
        stream: Box<dyn Stream>,
        read_buffer_bytes: usize,
    ) -> Result<Socket, Error> {
        let config = WebSocketConfig::default()
            .read_buffer_size(read_buffer_bytes)
            .write_buffer_size(0)
            .max_write_buffer_size(2 * MESSAGE_BYTES_MAX)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let handshake = client_async_with_config(self.url.as_str(), stream, Some(config)).await;
        handshake.map(|(socket, _)| socket)
    }
}

/// Tries addresses one after the other, each with its own timeout, so that a dead address does not
/// hide a good one.
async fn first_that_answers<T, F: Future<Output = std::io::Result<T>>>(
    addresses: Vec<SocketAddr>,
    wait: Duration,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<T, String> {
    let mut last_error = "host name has no address".to_owned();
    for address in addresses {
        match tokio::time::timeout(wait, connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last_error = error.to_string(),
            Err(_) => last_error = format!("{address} does not answer"),
        }
    }
    Err(last_error)
}

/// Alternates between the address families, starting with the preferred one (as in RFC 8305).
fn alternating(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let preferred = addresses.first().is_none_or(SocketAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv4() == preferred);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut all = Vec::new();
    loop {
        let before = all.len();
        all.extend(first.next());
        all.extend(second.next());
        if all.len() == before {
            return all;
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address, String> {
        Address::parse(url, &ConnectOptions::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn address_forms_parse_alike() {
        let address = parse("https://Relay.Example/sync/").unwrap();
        assert_eq!(address.host, "relay.example");
        assert_eq!(address.url, "wss://relay.example:443/sync/v1/sync");
        assert_eq!(
            parse("wss://relay.example/v1/sync").unwrap().url,
            "wss://relay.example:443/v1/sync"
        );
        let address = parse("ws://[::1]:8080").unwrap();
        assert_eq!(
            (address.host.as_str(), address.url.as_str()),
            ("::1", "ws://[::1]:8080/v1/sync")
        );
    }

    #[test]
    fn plain_address_of_another_machine_needs_permission() {
        assert!(
            parse("ws://relay.example")
                .unwrap_err()
                .contains("not encrypted")
        );
        assert!(parse("ws://127.0.0.1:8080").is_ok());
        let options = ConnectOptions { allow_plain: true };
        assert!(Address::parse("ws://relay.example", &options).is_ok());
        assert!(parse("relay.example").is_err() && parse("ftp://x").is_err() && parse("").is_err());
    }

    #[tokio::test]
    async fn dial_with_dead_address_tries_the_next() {
        let dead: SocketAddr = "[2001:db8::1]:443".parse().unwrap();
        let dead_too: SocketAddr = "[2001:db8::2]:443".parse().unwrap();
        let good: SocketAddr = "192.0.2.1:443".parse().unwrap();
        let addresses = alternating(vec![dead, dead_too, good]);
        assert_eq!(addresses, [dead, good, dead_too]);
        let connect = |address| async move {
            if address == good {
                Ok(address)
            } else {
                std::future::pending().await
            }
        };
        let wait = Duration::from_millis(10);
        assert_eq!(first_that_answers(addresses, wait, connect).await, Ok(good));
        let error = first_that_answers(vec![dead], wait, connect)
            .await
            .unwrap_err();
        assert!(error.contains("2001:db8::1"), "{error}");
    }

    #[test]
    fn address_with_relay_key_parses() {
        let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        let address = parse(&format!("wss://192.168.1.20:8443#{key}")).unwrap();
        assert_eq!(
            (address.key, address.host.as_str()),
            (key.parse().ok(), "192.168.1.20")
        );
        assert_eq!(address.url, "wss://192.168.1.20:8443/v1/sync");
        assert_eq!(parse("wss://relay.example").unwrap().key, None);
        // A truncated key must not be ignored.
        assert!(
            parse(&format!("wss://relay.example#{}", &key[..42]))
                .unwrap_err()
                .contains("key")
        );
        assert!(parse("wss://relay.example#").unwrap_err().contains("key"));
        assert!(
            parse(&format!("ws://127.0.0.1#{key}"))
                .unwrap_err()
                .contains("wss://")
        );
    }
}
