//! One connection to a server, plain or over TLS 1.3: shared by all drivers.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const READ_BUFFER_BYTES: usize = 16 * 1024;

pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A stream with a read buffer.
pub struct Line {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    /// Read from the buffer so far.
    at: usize,
}

impl Line {
    pub async fn connect(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let line = Self {
            stream: Box::new(tcp),
            buffer: Vec::with_capacity(READ_BUFFER_BYTES),
            at: 0,
        };
        match tls {
            Some(config) => line.upgrade(config).await,
            None => Ok(line),
        }
    }

    /// Upgrades the connection to TLS.
    pub async fn upgrade(self, config: &Arc<ClientConfig>) -> Result<Self> {
        let name = ServerName::try_from("localhost")?;
        let stream = TlsConnector::from(config.clone())
            .connect(name, self.stream)
            .await?;
        Ok(Self {
            stream: Box::new(stream),
            buffer: self.buffer,
            at: 0,
        })
    }

    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }

    /// Reads up to the next `\r\n`, which is dropped.
    pub async fn text(&mut self) -> Result<String> {
        loop {
            let rest = &self.buffer[self.at..];
            if let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
                let text = String::from_utf8_lossy(&rest[..end]).into_owned();
                self.at += end + 2;
                return Ok(text);
            }
            self.more(READ_BUFFER_BYTES).await?;
        }
    }

    pub async fn bytes(&mut self, count: usize) -> Result<Vec<u8>> {
        while self.buffer.len() - self.at < count {
            self.more(count).await?;
        }
        self.at += count;
        Ok(self.buffer[self.at - count..self.at].to_vec())
    }

    async fn more(&mut self, room: usize) -> Result<()> {
        self.buffer.drain(..std::mem::take(&mut self.at));
        self.buffer.reserve(room.max(READ_BUFFER_BYTES));
        ensure!(
            self.stream.read_buf(&mut self.buffer).await? > 0,
            "the server closed the connection"
        );
        Ok(())
    }
}

/// A certificate for this run, and the client configuration that trusts it.
pub struct Certificate {
    pub chain_pem: String,
    pub key_pem: String,
    pub client: Arc<ClientConfig>,
}

impl Certificate {
    pub fn make() -> Result<Self> {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names)?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .context("TLS 1.3")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            chain_pem: made.cert.pem(),
            key_pem: made.key_pair.serialize_pem(),
            client: Arc::new(client),
        })
    }
}
