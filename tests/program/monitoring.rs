//! The files of `packaging/monitoring`, checked with Prometheus and Alertmanager against a real
//! relay.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use graceful_testing::external::{free_port, is_installed};
use graceful_testing::program::{Home, LONG, RunningProgram};
use serde_json::Value;

const KIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/monitoring");

/// The list for people.
const LIST: &str = include_str!("../../docs/reference/metrics.md");

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(KIT).join(name)).expect("a file of the kit")
}

/// What it says, which must be good.
fn says(program: &str, arguments: &[&str]) {
    let said = Command::new(program)
        .args(arguments)
        .current_dir(KIT)
        .output()
        .expect("it runs");
    let text = [said.stdout, said.stderr]
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .concat();
    assert!(said.status.success(), "{program} {arguments:?}: {text}");
}

/// Names of metrics in rules and panels: those of the relay and of its process, and those made of them.
fn named(text: &str) -> BTreeSet<String> {
    let words =
        text.split(|letter: char| !letter.is_ascii_alphanumeric() && !"_:".contains(letter));
    let ours = |word: &&str| {
        ["graceful_relay_", "graceful_relay:", "process_"]
            .iter()
            .any(|begin| word.starts_with(begin))
    };
    words.filter(ours).map(str::to_owned).collect()
}

/// Everything that a rule or a panel asks for.
fn asked() -> BTreeSet<String> {
    let rules = file("rules.yml");
    let expressions = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "));
    let mut asked: BTreeSet<String> = expressions.flat_map(named).collect();
    asked.extend(named(&file("grafana/graceful-relay.json")));
    asked
}

#[test]
fn alerts_and_panels_name_existing_metrics() {
    let rules = file("rules.yml");
    let made: BTreeSet<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- record: "))
        .collect();
    let asked = asked();
    assert!(asked.len() > 30, "{asked:?}");
    for name in &asked {
        let base = ["_total", "_bucket", "_info"]
            .iter()
            .find_map(|end| name.strip_suffix(end));
        let listed = LIST.contains(&format!("| `{}` |", base.unwrap_or(name)));
        assert!(
            listed || made.contains(name.as_str()),
            "{name} is neither on the list nor made by a rule"
        );
    }
}

#[test]
fn every_alert_has_a_test_and_a_next_step() {
    let (rules, tests) = (file("rules.yml"), file("rules_test.yml"));
    let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert_eq!(alerts.len(), 15, "as README.md says");
    for alert in alerts {
        let name = alert.lines().next().expect("a name");
        let fires = format!("alertname: {name}\n");
        let tried = tests.contains(&fires) || tests.contains(&format!("alertname: {name},"));
        assert!(tried, "{name} is not tried");
        for part in ["severity: ", "summary: ", "what_to_do: "] {
            assert!(alert.contains(part), "{name} has no {part}");
        }
    }
}

#[test]
fn prometheus_tools_accept_monitoring_files() {
    if is_installed("promtool", "prometheus") {
        says("promtool", &["check", "config", "prometheus.yml"]);
        says("promtool", &["check", "rules", "rules.yml"]);
        says("promtool", &["test", "rules", "rules_test.yml"]);
    }
    if is_installed("amtool", "prometheus-alertmanager") {
        says("amtool", &["check-config", "alertmanager.yml"]);
        for (severity, receivers) in [("page", "pagerduty,opsgenie"), ("ticket", "mail")] {
            let labels = format!("severity={severity}");
            let receivers = format!("--verify.receivers={receivers}");
            says(
                "amtool",
                &[
                    "config",
                    "routes",
                    "test",
                    "--config.file=alertmanager.yml",
                    &receivers,
                    &labels,
                ],
            );
        }
    }
}

/// A program of the kit's; killed when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    fn start(program: &str, folder: &Path, arguments: &[String]) -> Self {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(command.spawn().expect("it starts"))
    }
}

fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer.split_once("\r\n\r\n")?.1.to_owned())
}

/// How many series Prometheus has under a name.
fn series(prometheus: u16, name: &str) -> usize {
    let answer = get(
        prometheus,
        &format!("/api/v1/query?query={}", name.replace(':', "%3A")),
    );
    let answer = answer.and_then(|text| serde_json::from_str::<Value>(&text).ok());
    answer
        .and_then(|answer| Some(answer["data"]["result"].as_array()?.len()))
        .unwrap_or(0)
}

/// Polls until the condition holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A receiver's name and the alerts that it got.
fn webhook() -> (u16, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let (sender, told) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream);
            let (mut first, mut length) = (String::new(), 0);
            let _ = reader.read_line(&mut first);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                    break;
                }
                if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = bytes.trim().parse().unwrap_or(0);
                }
            }
            let mut body = vec![0; length];
            let _ = reader.read_exact(&mut body);
            let _ = reader
                .into_inner()
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            let name = first
                .split(['/', ' '])
                .nth(2)
                .unwrap_or_default()
                .to_owned();
            if sender
                .send((name, serde_json::from_slice(&body).unwrap_or_default()))
                .is_err()
            {
                return;
            }
        }
    });
    (port, told)
}

/// The kit's own files in another folder, with other ports and no patience.
fn hurried(folder: &Path, relay: u16, alertmanager: u16, webhook: u16) -> [PathBuf; 2] {
    let replaced = |text: String, changes: &[(&str, &str)]| {
        changes.iter().fold(text, |text, (from, to)| {
            assert!(text.contains(from), "{from} is not in\n{text}");
            text.replace(from, to)
        })
    };
    let [relay, alertmanager] = [relay, alertmanager].map(|port| format!("127.0.0.1:{port}"));
    let prometheus = replaced(
        file("prometheus.yml"),
        &[
            (": 15s", ": 1s"),
            ("127.0.0.1:8917", &relay),
            ("127.0.0.1:9093", &alertmanager),
        ],
    );
    let rules = replaced(
        file("rules.yml"),
        &[("interval: 30s", "interval: 1s"), ("for: 2m", "for: 0s")],
    );
    let alerts = replaced(
        file("alertmanager.yml"),
        &[("group_wait: 30s", "group_wait: 0s")],
    );
    let (routes, _) = alerts
        .split_once("receivers:\n")
        .expect("receivers come last");
    let receiver = |name| {
        format!(
            "  - {{ name: {name}, webhook_configs: [{{ url: 'http://127.0.0.1:{webhook}/{name}' }}] }}\n"
        )
    };
    let alerts = format!(
        "{routes}receivers:\n{}",
        ["pagerduty", "opsgenie", "mail"].map(receiver).concat()
    );
    let files = [
        ("prometheus.yml", prometheus),
        ("alertmanager.yml", alerts),
        ("rules.yml", rules),
    ];
    for (name, text) in files {
        std::fs::write(folder.join(name), text).expect("written");
    }
    ["prometheus.yml", "alertmanager.yml"].map(|name| folder.join(name))
}

/// A relay that speaks TLS, with a device that has something to say; and the port of its metrics.
fn busy_relay(home: &Home) -> (RunningProgram, u16) {
    let environment = [
        ("GRACEFUL_RELAY_TLS__MODE", "self-signed"),
        ("GRACEFUL_RELAY_METRICS__LISTEN", "127.0.0.1:0"),
        ("GRACEFUL_RELAY_ACCOUNTS__REGISTRATION", "open"),
    ];
    let arguments = [
        "serve",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        "relay",
    ];
    let relay = home.start_with(&arguments, "", &environment);
    let said = relay.json_line();
    let text = |name: &str| said[name].as_str().expect("an address").to_owned();
    home.client(
        "laptop",
        &["init", "--relay", &text("url"), "--name", "Laptop"],
    )
    .success();
    home.client("laptop", &["push", "Paid the rent"]).success();
    let metrics: SocketAddr = text("metrics").parse().expect("an address");
    (relay, metrics.port())
}

#[test]
fn prometheus_scrapes_all_metrics_and_alerts() {
    if !is_installed("prometheus", "prometheus")
        || !is_installed("prometheus-alertmanager", "prometheus-alertmanager")
    {
        return;
    }
    let home = Home::new();
    let (mut relay, metrics) = busy_relay(&home);
    let (prometheus, alertmanager) = (free_port(), free_port());
    let (hook, told) = webhook();
    let [prometheus_file, alertmanager_file] =
        hurried(home.folder.path(), metrics, alertmanager, hook);
    let folder = home.folder.path();
    let address = |port| format!("--web.listen-address=127.0.0.1:{port}");
    let _alertmanager = Server::start(
        "prometheus-alertmanager",
        folder,
        &[
            format!("--config.file={}", alertmanager_file.display()),
            "--storage.path=alerts".to_owned(),
            "--cluster.listen-address=".to_owned(),
            address(alertmanager),
        ],
    );
    let _prometheus = Server::start(
        "prometheus",
        folder,
        &[
            format!("--config.file={}", prometheus_file.display()),
            "--storage.tsdb.path=series".to_owned(),
            address(prometheus),
        ],
    );
    for name in asked() {
        until(&format!("{name} has no data"), || {
            series(prometheus, &name) > 0
        });
    }
    relay.kill();
    let mut receivers = BTreeSet::new();
    while receivers.len() < 2 {
        let (receiver, said) = told.recv_timeout(LONG).expect("an alert gets through");
        let names = said["alerts"].as_array().expect("alerts").iter();
        let names: Vec<_> = names
            .map(|alert| alert["labels"]["alertname"].as_str().expect("a name"))
            .collect();
        assert!(
            receiver != "mail" || !names.contains(&"RelayDown"),
            "a page goes to those who are on duty"
        );
        if names.contains(&"RelayDown") {
            assert_eq!(said["commonLabels"]["region"], "home");
            receivers.insert(receiver);
        }
    }
    assert_eq!(
        receivers,
        BTreeSet::from(["opsgenie".to_owned(), "pagerduty".to_owned()])
    );
}
