//! A relay as a process of its own, behind an address that stays while relays come and go.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};

/// Longer than a relay takes to end: only so that one that does not ends its test.
const LONG: Duration = Duration::from_secs(60);

/// A running relay. Killed when dropped.
pub struct RelayProcess {
    child: Child,
    pub address: SocketAddr,
}

impl RelayProcess {
    /// Starts a relay on a folder and waits until it says where it listens.
    pub fn start(folder: &Path, environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(crate::program::path())
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder)
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the relay starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut said = String::new();
        let address = loop {
            let line = lines
                .next()
                .unwrap_or_else(|| panic!("the relay ended: {said}"))
                .expect("text");
            said.push_str(&line);
            said.push('\n');
            if let Some((_, rest)) = line.split_once("listening on") {
                let address = rest.trim().split(',').next().expect("an address");
                break address.parse().expect("an address");
            }
        };
        // Whatever else it says must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    /// Ends it at once, as a crash would, and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it ends");
    }

    /// Asks it to stop, and waits.
    #[cfg(unix)]
    pub fn stop(mut self) {
        self.terminate();
        assert!(self.ended().success(), "the relay stops in order");
    }

    /// Asks it to stop.
    #[cfg(unix)]
    pub fn terminate(&self) {
        let id = self.child.id().to_string();
        let asked = Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .expect("kill is there");
        assert!(asked.success());
    }

    /// Waits for its end, for a bounded time.
    pub fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + LONG;
        loop {
            if let Some(status) = self.has_ended() {
                return status;
            }
            assert!(Instant::now() < deadline, "the relay does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is ours")
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that stays: passes connections on to wherever the relay is now.
#[derive(Clone)]
pub struct Address {
    local: SocketAddr,
    relay: Arc<Mutex<Option<SocketAddr>>>,
}

impl Address {
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let relay = Arc::new(Mutex::new(None));
        let address = Self {
            local: listener.local_addr().expect("an address"),
            relay: Arc::clone(&relay),
        };
        tokio::spawn(async move {
            while let Ok((incoming, _)) = listener.accept().await {
                let target = *relay.lock().expect("not poisoned");
                tokio::spawn(pass(incoming, target));
            }
        });
        address
    }

    pub fn route_to(&self, relay: Option<SocketAddr>) {
        *self.relay.lock().expect("not poisoned") = relay;
    }

    pub fn url(&self) -> String {
        format!("ws://{}", self.local)
    }
}

/// A connection to nobody is dropped at once.
async fn pass(mut incoming: TcpStream, target: Option<SocketAddr>) {
    let Some(target) = target else {
        return;
    };
    if let Ok(mut outgoing) = TcpStream::connect(target).await {
        let _ = tokio::io::copy_bidirectional(&mut incoming, &mut outgoing).await;
    }
}
