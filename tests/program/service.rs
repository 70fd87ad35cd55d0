//! The relay under a service manager: notifications, socket activation, and the files in `systemd`.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use graceful_testing::program::{Home, LONG};

/// Ends with its test.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the next notification that contains this text.
fn told(manager: &UnixDatagram, wanted: &str) -> String {
    let deadline = Instant::now() + LONG;
    let mut buffer = [0; 4096];
    while Instant::now() < deadline {
        let count = manager.recv(&mut buffer).expect("something in time");
        let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
        if text.lines().any(|line| line.starts_with(wanted)) {
            return text;
        }
    }
    panic!("{wanted} was never told");
}

#[test]
fn systemd_gets_ready_watchdog_and_stopping() {
    let home = Home::new();
    let manager = UnixDatagram::bind(home.path("notify")).expect("a socket");
    manager.set_read_timeout(Some(LONG)).expect("set");
    let mut serve = Command::new(graceful_testing::program::path());
    serve
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(home.path("relay"));
    serve
        .env("NOTIFY_SOCKET", home.path("notify"))
        .env("WATCHDOG_USEC", "150000");
    serve
        .env("GRACEFUL_RELAY_METRICS__LISTEN", "")
        .stderr(Stdio::null());
    let mut relay = Ending(serve.spawn().expect("starts"));
    told(&manager, "EXTEND_TIMEOUT_USEC=");
    let ready = told(&manager, "READY=1");
    assert!(
        ready.contains("STATUS=devices connect to ws://127.0.0.1:"),
        "{ready}"
    );
    // Again and again.
    for _ in 0..3 {
        told(&manager, "WATCHDOG=1");
    }
    let id = i32::try_from(relay.0.id()).expect("a process id");
    let sent = Command::new("kill")
        .args(["-TERM", &id.to_string()])
        .status();
    assert!(sent.is_ok_and(|sent| sent.success()));
    told(&manager, "STOPPING=1");
    assert!(relay.0.wait().expect("ends").success());
}

/// A relay that is handed this port.
fn with_port(home: &Home, port: TcpListener) -> Ending {
    // As in sd_listen_fds(3): the first descriptor is 3, and the process id is named.
    let script = "export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\" \"$@\" 3<&0 </dev/null";
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script])
        .arg(graceful_testing::program::path());
    shell.args(["serve", "--json", "--listen", "127.0.0.1:1", "--data-dir"]);
    shell
        .arg(home.path("relay"))
        .env("GRACEFUL_RELAY_METRICS__LISTEN", "");
    shell
        .stdin(Stdio::from(OwnedFd::from(port)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ending(shell.spawn().expect("starts"))
}

#[test]
fn socket_activation_port_is_used() {
    let home = Home::new();
    let port = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address: SocketAddr = port.local_addr().expect("bound");
    let mut relay = with_port(&home, port);
    let mut line = String::new();
    let said = relay.0.stdout.take().expect("piped");
    BufReader::new(said).read_line(&mut line).expect("a line");
    assert!(line.contains(&format!("ws://{address}")), "{line}");
    let status = home.run(&["healthcheck", "--data-dir", "relay"]).success();
    assert_eq!(status.out, "ready\n");
}

#[test]
fn public_port_without_tls_is_refused() {
    let home = Home::new();
    let mut relay = with_port(&home, TcpListener::bind("0.0.0.0:0").expect("a port"));
    let mut said = String::new();
    relay
        .0
        .stderr
        .take()
        .expect("piped")
        .read_to_string(&mut said)
        .expect("text");
    assert!(said.contains("which other machines can reach"), "{said}");
    assert!(!relay.0.wait().expect("ends").success());
}

/// Waits until the relay is ready, or no longer.
fn until_health_is(home: &Home, good: bool) {
    let deadline = Instant::now() + LONG;
    while home
        .run(&["healthcheck", "--data-dir", "relay"])
        .status
        .success()
        != good
    {
        assert!(Instant::now() < deadline, "ready: {good} was waited for");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn healthcheck_returns_exit_code() {
    let home = Home::new();
    home.run(&["healthcheck", "--data-dir", "relay"])
        .failure(&["no relay"]);
    let environment = [
        (
            "GRACEFUL_RELAY_STORAGE__MIN_FREE_SPACE",
            "1125899906842624B",
        ),
        ("GRACEFUL_RELAY_METRICS__LISTEN", ""),
    ];
    let serve = [
        "serve",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        "relay",
    ];
    let mut full = home.start_with(&serve, "", &environment);
    full.json_line();
    // The janitor looks a moment after the start.
    until_health_is(&home, false);
    home.run(&["healthcheck", "--data-dir", "relay"])
        .failure(&["not ready", "disk"]);
    full.kill();
}

#[test]
fn wrong_settings_exit_with_78() {
    let home = Home::new();
    std::fs::write(home.path("relay.toml"), "[server]\nlisten = 7\n").expect("written");
    home.run(&["serve", "--config", "relay.toml"])
        .config_error(&["server.listen"]);
    let unit = std::fs::read_to_string(systemd("graceful-relay.service")).expect("a unit");
    assert!(unit.contains("RestartPreventExitStatus=78\n"));
}

fn systemd(name: &str) -> String {
    format!("{}/systemd/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn daemon_detaches_and_writes_pid() {
    let home = Home::new();
    let serve = [
        "serve",
        "--daemon",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        "relay",
        "--pid-file",
        "relay.pid",
    ];
    home.run(&serve).failure(&["log.output"]);
    let logs = home.path("logs");
    std::fs::create_dir(&logs).expect("a folder");
    let logs = logs.to_str().expect("text");
    let environment = [
        ("GRACEFUL_RELAY_LOG__OUTPUT", "file"),
        ("GRACEFUL_RELAY_LOG__DIR", logs),
        ("GRACEFUL_RELAY_METRICS__LISTEN", ""),
    ];
    let said = home.start_with(&serve, "", &environment).wait();
    assert!(said.status.success(), "{said:?}");
    until_health_is(&home, true);
    let id = std::fs::read_to_string(home.path("relay.pid")).expect("a number");
    let status = home
        .run(&["status", "--json", "--data-dir", "relay"])
        .success()
        .json();
    assert_eq!(status[0]["process_id"].to_string(), id.trim());
    home.run(&["drain", "--data-dir", "relay"]).success();
    until_health_is(&home, false);
}

#[test]
fn systemd_units_verify_and_are_hardened() {
    let units: Vec<_> = [
        "graceful-relay.service",
        "graceful-relay.socket",
        "graceful-relay-backup.service",
        "graceful-relay-backup.timer",
    ]
    .map(systemd)
    .into();
    if !Path::new("/usr/bin/systemd-analyze").exists() {
        println!("NOT CHECKED: systemd-analyze is not installed (apt-get install systemd)");
        return;
    }
    let verified = Command::new("systemd-analyze")
        .arg("verify")
        .args(&units)
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&verified.stderr);
    for line in said.lines().filter(|line| {
        units
            .iter()
            .any(|unit| line.contains(unit.rsplit('/').next().unwrap_or(unit)))
    }) {
        // The program is not installed here, nor are its pages.
        let missing = line.contains("is not executable") || line.contains("Command 'man");
        assert!(missing, "{line}");
    }
    // A number for how much of the machine the service is exposed to, times ten: 100 is all of it.
    let security = ["security", "--offline=yes", "--threshold=15"];
    let judged = Command::new("systemd-analyze")
        .args(security)
        .arg(&units[0])
        .output()
        .expect("runs");
    assert!(
        judged.status.success(),
        "{}",
        String::from_utf8_lossy(&judged.stdout)
    );
}

#[test]
fn man_pages_and_completions_cover_every_command() {
    let home = Home::new();
    home.run(&["generate", "man", "generated/man"]).success();
    home.run(&["generate", "completions", "generated/completions"])
        .success();
    for page in ["", "-serve", "-client-pair", "-sla-report", "-healthcheck"] {
        let text =
            std::fs::read_to_string(home.path(&format!("generated/man/graceful-relay{page}.1")))
                .expect("a page");
        assert!(text.contains(".SH SYNOPSIS"), "{page}");
    }
    assert!(
        !home
            .path("generated/man/graceful-relay-help-serve.1")
            .exists(),
        "those of `help` say nothing new"
    );
    for (file, word) in [
        ("graceful-relay.bash", "complete"),
        ("_graceful-relay", "#compdef graceful-relay"),
        ("graceful-relay.fish", "complete -c graceful-relay"),
    ] {
        let text = std::fs::read_to_string(home.path("generated/completions").join(file))
            .expect("completions");
        assert!(text.contains(word), "{file}");
    }
}

#[test]
fn installer_scripts_parse() {
    for script in [
        "macos/postinstall",
        "macos/uninstall",
        "debian/postinst",
        "debian/prerm",
        "debian/postrm",
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("packaging")
            .join(script);
        let read = Command::new("sh")
            .arg("-n")
            .arg(&path)
            .output()
            .expect("a shell");
        assert!(
            read.status.success(),
            "{script}: {}",
            String::from_utf8_lossy(&read.stderr)
        );
    }
}

/// launchd discards a daemon's output, so the default config logs to files.
#[test]
fn macos_default_config_logs_to_files() {
    let home = Home::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script =
        std::fs::read_to_string(folder.join("packaging/macos/postinstall")).expect("it is there");
    let line = script
        .lines()
        .find(|line| line.trim_start().starts_with("sed "))
        .expect("it writes settings");
    let written = Command::new("sh")
        .args(["-euc", line])
        .env("name", "graceful-relay")
        .env("example", folder.join("config.example.toml"))
        .env("settings", home.path("config.toml"))
        .status()
        .expect("a shell");
    assert!(written.success());
    let settings = std::fs::read_to_string(home.path("config.toml")).expect("written");
    for wanted in [
        "\noutput = \"file\"\n",
        "\ndir = \"/var/log/graceful-relay\"\n",
    ] {
        assert!(settings.contains(wanted), "{wanted}");
    }
}
