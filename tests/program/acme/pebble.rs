//! Pebble and its DNS server as processes; killed on drop.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::{Acme, TestRelay};
use graceful_testing::external::free_port;

const LONG: Duration = Duration::from_secs(60);

pub struct Pebble {
    config: PathBuf,
    port: u16,
    management: u16,
    names: Child,
    names_port: u16,
    names_management: u16,
    pebble: Option<Child>,
    /// Trusts pebble's own server, not what it signs.
    client: ClientConfig,
}

impl Pebble {
    /// The name server runs; pebble is to be started.
    pub fn new(acme: &Acme, relay_under_test: &TestRelay, validity_s: u32) -> Self {
        let folder = acme.folder.path().join("pebble");
        std::fs::create_dir(&folder).expect("a folder");
        let pair = acme.authority.write(&folder, &["localhost", "127.0.0.1"]);
        let (management, names_port, names_management) = (free_port(), free_port(), free_port());
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{}", acme.port),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": pair.certificate,
            "privateKey": pair.key,
            "httpPort": relay_under_test.plain.port(),
            "tlsPort": relay_under_test.address.port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "certificateValidityPeriod": validity_s,
        }});
        let path = folder.join("pebble.json");
        std::fs::write(&path, config.to_string()).expect("written");
        let names = Command::new("pebble-challtestsrv")
            .args([
                "-defaultIPv4",
                "127.0.0.1",
                "-defaultIPv6",
                "",
                "-http01",
                "",
                "-https01",
                "",
            ])
            .args([
                "-tlsalpn01",
                "",
                "-dns01",
                &format!("127.0.0.1:{names_port}"),
            ])
            .args(["-management", &format!("127.0.0.1:{names_management}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        answers(names_management);
        let client = acme.authority.client();
        let port = acme.port;
        Self {
            config: path,
            port,
            management,
            names,
            names_port,
            names_management,
            pebble: None,
            client,
        }
    }

    pub async fn start(&mut self) {
        let child = Command::new("pebble")
            .arg("-config")
            .arg(&self.config)
            .args(["-dnsserver", &format!("127.0.0.1:{}", self.names_port)])
            .envs([("PEBBLE_WFE_NONCEREJECT", "0"), ("PEBBLE_VA_NOSLEEP", "1")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.pebble = Some(child.expect("it starts"));
        let (port, management) = (self.port, self.management);
        tokio::task::spawn_blocking(move || {
            answers(port);
            answers(management);
        })
        .await
        .expect("it answers");
    }

    pub fn stop(&mut self) {
        if let Some(mut pebble) = self.pebble.take() {
            let _ = pebble.kill();
            let _ = pebble.wait();
        }
    }

    /// Every name has this address from now on.
    pub fn route_to(&self, address: &str) {
        let body = format!("{{\"ip\":\"{address}\"}}");
        let mut stream = TcpStream::connect(("127.0.0.1", self.names_management)).expect("it runs");
        write!(
            stream,
            "POST /set-default-ipv4 HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("open");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.contains(" 200 "), "{answer}");
    }

    /// A client that trusts what pebble signs.
    pub async fn root(&self) -> ClientConfig {
        let tcp = tokio::net::TcpStream::connect(("127.0.0.1", self.management))
            .await
            .expect("it runs");
        let connector = tokio_rustls::TlsConnector::from(Arc::new(self.client.clone()));
        let name = ServerName::try_from("localhost").expect("a name");
        let mut stream = connector.connect(name, tcp).await.expect("a handshake");
        stream
            .write_all(b"GET /roots/0 HTTP/1.0\r\n\r\n")
            .await
            .expect("open");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(&answer).expect("a root"))
            .expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
        let _ = self.names.kill();
        let _ = self.names.wait();
    }
}

fn answers(port: u16) {
    let deadline = Instant::now() + LONG;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "nothing answers on port {port}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
