//! A running server in a fresh directory of the measured disk.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use graceful_loadgen::local::{LocalRelay, Setup};
use graceful_loadgen::process::Process;
use tokio::net::TcpStream;

use crate::driver::Target;
use crate::line::Certificate;
use crate::peers::Kind;

/// Timeout of the start, which may load a large file.
const READY_WAIT: Duration = Duration::from_secs(180);

/// A running server, killed on drop.
pub struct Server {
    running: Running,
    pub target: Target,
    /// Time from the start of the program until it accepts a connection.
    pub ready: Duration,
}

enum Running {
    Relay(LocalRelay),
    Peer(Child),
}

impl Server {
    /// Starts the server in `folder` with existing data.
    pub async fn start(
        kind: Kind,
        tls: bool,
        folder: &Path,
        certificate: &Certificate,
        connections: usize,
    ) -> Result<Self> {
        let client = tls.then(|| certificate.client.clone());
        let Some(peer) = kind.peer() else {
            let setup = Setup {
                program: PathBuf::from(env!("CARGO_BIN_EXE_graceful-relay")),
                data: folder.join("data"),
                tls,
                connections,
            };
            let relay = LocalRelay::start(&setup).await?;
            let target = Target {
                address: ([127, 0, 0, 1], 0).into(),
                tls: client,
                url: relay.url.clone(),
            };
            return Ok(Self {
                ready: relay.ready,
                running: Running::Relay(relay),
                target,
            });
        };
        std::fs::create_dir_all(folder.join("data"))?;
        std::fs::write(folder.join("chain.pem"), &certificate.chain_pem)?;
        std::fs::write(folder.join("key.pem"), &certificate.key_pem)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = (peer.command)(folder, address.port(), tls)?;
        let log = std::fs::File::create(folder.join("log"))?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let started = Instant::now();
        let child = command.spawn().with_context(|| {
            format!(
                "cannot start {} (Debian's package {})",
                peer.name, peer.package
            )
        })?;
        let target = Target {
            address,
            tls: client,
            url: String::new(),
        };
        let mut this = Self {
            running: Running::Peer(child),
            target,
            ready: Duration::ZERO,
        };
        this.wait(started, kind, folder).await?;
        Ok(this)
    }

    async fn wait(&mut self, started: Instant, kind: Kind, folder: &Path) -> Result<()> {
        loop {
            // Redis and PostgreSQL accept connections while they load, and report it.
            let opened = TcpStream::connect(self.target.address).await.is_ok();
            if opened && crate::scenarios::is_ready(kind, &self.target).await {
                self.ready = started.elapsed();
                return Ok(());
            }
            let ended = match &mut self.running {
                Running::Peer(child) => child.try_wait()?.is_some(),
                Running::Relay(_) => false,
            };
            if ended || started.elapsed() > READY_WAIT {
                let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
                bail!("{} does not come up: {log}", kind.name());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub fn process(&self) -> Process {
        match &self.running {
            Running::Relay(relay) => relay.process(),
            Running::Peer(child) => Process::new(child.id()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Running::Peer(child) = &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A directory deleted on drop, even while a process still writes into it.
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    pub fn new(parent: &Path) -> Result<Self> {
        Ok(Self(
            tempfile::Builder::new()
                .prefix("compare-")
                .tempdir_in(parent)?,
        ))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for _ in 0..200 {
            if std::fs::remove_dir_all(self.0.path()).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
