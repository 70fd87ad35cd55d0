//! A relay as its own process, behind an address that stays while relays are replaced.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};

/// Upper bound of a relay's exit, so that a hanging relay fails the test.
const LONG: Duration = Duration::from_secs(60);

/// A running relay. Killed on drop.
pub struct RelayProcess {
    child: Child,
    pub address: SocketAddr,
}

impl RelayProcess {
    /// Starts a relay and waits until it reports its address.
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
        // Drains the pipe so that it does not fill up.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    /// Kills the process and waits for its exit.
    pub fn kill(mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it ends");
    }

    /// Stops the relay and waits for a clean exit.
    #[cfg(unix)]
    pub fn stop(mut self) {
        self.terminate();
        assert!(self.ended().success(), "the relay stops in order");
    }

    /// Sends SIGTERM.
    #[cfg(unix)]
    pub fn terminate(&self) {
        let id = self.child.id().to_string();
        let asked = Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .expect("kill is there");
        assert!(asked.success());
    }

    /// Waits for its exit, for a bounded time.
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

    /// Returns its exit status if it has exited.
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

/// A stable address that forwards to the current relay.
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

/// Without a relay the connection is dropped.
async fn pass(mut incoming: TcpStream, target: Option<SocketAddr>) {
    let Some(target) = target else {
        return;
    };
    if let Ok(mut outgoing) = TcpStream::connect(target).await {
        let _ = tokio::io::copy_bidirectional(&mut incoming, &mut outgoing).await;
    }
}
