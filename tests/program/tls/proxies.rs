//! The proxies of `docs/guide/tls.md`, each with the configuration of that page, and two devices
//! that sync through it.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::authority::{Authority, Pair};
use graceful_testing::external::{free_port, is_installed};
use graceful_testing::program::{Home, LONG, RunningProgram};

/// Killed when dropped.
struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The first block of this language.
fn shown(language: &str) -> String {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guide/tls.md"))
        .expect("the page");
    let (_, rest) = page
        .split_once(&format!("```{language}\n"))
        .expect("a block");
    rest.split_once("```").expect("its end").0.to_owned()
}

/// What is another on this machine, and nothing else.
fn replaced(text: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in\n{text}");
        text.replace(from, to)
    })
}

struct Place {
    home: Home,
    pair: Pair,
    port: u16,
    relay: String,
    _running: RunningProgram,
}

impl Place {
    /// A relay behind a proxy that is still to come.
    fn new() -> Self {
        let home = Home::new();
        let authority = Authority::new();
        let pair = authority.write(home.folder.path(), &["localhost"]);
        std::fs::write(home.path("root.pem"), authority.root_pem()).expect("written");
        std::fs::write(
            home.path("relay.toml"),
            "[server]\ndomains = [\"localhost\"]\n[tls]\nmode = \"proxy\"\n",
        )
        .expect("written");
        let arguments = [
            "serve",
            "--json",
            "--config",
            "relay.toml",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            "relay",
        ];
        let running = home.start(&arguments, "");
        let relay = running.json_line()["listening"]
            .as_str()
            .expect("an address")
            .to_owned();
        Self {
            home,
            pair,
            port: free_port(),
            relay,
            _running: running,
        }
    }

    fn start(&self, profile: &str, arguments: &[&str]) -> RunningProgram {
        let all: Vec<&str> = ["client", "--profile", profile]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        self.home
            .start_with(&all, "", &[("SSL_CERT_FILE", "root.pem")])
    }

    fn proxy(&self, command: &mut Command) -> Proxy {
        let log = std::fs::File::create(self.home.path("proxy.log")).expect("a log");
        let child = command
            .env("HOME", self.home.folder.path())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let mut proxy = Proxy(child.expect("it starts"));
        let deadline = Instant::now() + LONG;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = proxy.0.try_wait().expect("a child").is_some();
            let log = std::fs::read_to_string(self.home.path("proxy.log")).unwrap_or_default();
            assert!(!ended && Instant::now() < deadline, "{log}");
            std::thread::sleep(Duration::from_millis(10));
        }
        proxy
    }

    /// Two devices, one change each way.
    fn syncs(&self) {
        let url = format!("wss://localhost:{}", self.port);
        let said = self
            .home
            .run(&["invite", "create", "--json", "--data-dir", "relay"])
            .success();
        let invite = said.json()[0]["invite"]
            .as_str()
            .expect("an invitation")
            .to_owned();
        self.start(
            "desk",
            &[
                "init", "--relay", &url, "--invite", &invite, "--name", "Desk",
            ],
        )
        .wait()
        .success();
        let pairing = self.start("desk", &["pair", "--yes", "--json"]);
        let link = pairing.json_line()["link"]
            .as_str()
            .expect("a link")
            .to_owned();
        self.start("phone", &["join", &link, "--name", "Phone"])
            .wait()
            .success();
        pairing.wait().success();
        self.start("desk", &["push", "Milk"]).wait().success();
        assert!(
            self.start("phone", &["pull", "--until", "1"])
                .wait()
                .success()
                .out
                .contains("Milk")
        );
        self.start("phone", &["push", "Bread"]).wait().success();
        assert!(
            self.start("desk", &["pull", "--until", "1"])
                .wait()
                .success()
                .out
                .contains("Bread")
        );
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn nginx_proxies_every_route() {
    if !is_installed("nginx", "nginx") {
        return;
    }
    let place = Place::new();
    let port = place.port.to_string();
    let site = replaced(
        &shown("nginx"),
        &[
            (
                "/etc/letsencrypt/live/relay.example.org/fullchain.pem",
                text(&place.pair.certificate),
            ),
            (
                "/etc/letsencrypt/live/relay.example.org/privkey.pem",
                text(&place.pair.key),
            ),
            ("listen 443 ssl;", &format!("listen 127.0.0.1:{port} ssl;")),
            ("    listen [::]:443 ssl;\n", ""),
            ("relay.example.org", "localhost"),
            ("127.0.0.1:8080", &place.relay),
        ],
    );
    let folder = place.home.folder.path().display();
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {folder}/{name};\n"))
        .concat();
    let whole = format!(
        "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\n\
         http {{\n{paths}{site}\n}}\n"
    );
    std::fs::write(place.home.path("nginx.conf"), whole).expect("written");
    let mut command = Command::new(if Path::new("/usr/sbin/nginx").exists() {
        "/usr/sbin/nginx"
    } else {
        "nginx"
    });
    command
        .arg("-p")
        .arg(place.home.folder.path())
        .arg("-c")
        .arg(place.home.path("nginx.conf"));
    let _proxy = place.proxy(&mut command);
    place.syncs();
}

#[test]
fn caddy_proxies_every_route() {
    if !is_installed("caddy", "caddy") {
        return;
    }
    let place = Place::new();
    let tls = format!(
        "localhost:{} {{\n\ttls {} {}\n",
        place.port,
        text(&place.pair.certificate),
        text(&place.pair.key)
    );
    let site = replaced(
        &shown("caddy"),
        &[
            ("relay.example.org {\n", &tls),
            ("127.0.0.1:8080", &place.relay),
        ],
    );
    let whole = format!("{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{site}");
    std::fs::write(place.home.path("Caddyfile"), whole).expect("written");
    let mut command = Command::new("caddy");
    command
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(place.home.path("Caddyfile"));
    let _proxy = place.proxy(&mut command);
    place.syncs();
}
