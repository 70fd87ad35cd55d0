//! The status page of a real relay, over HTTP and as files.
#![cfg(unix)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use graceful_testing::program::{Home, LONG, RunningProgram};
use serde_json::Value;

struct Shown {
    head: String,
    body: String,
}

fn get(address: &str, path: &str, more: &str) -> Shown {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n"
    )
    .expect("open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    Shown {
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

/// A relay and where it listens.
fn relay(home: &Home, environment: &[(&str, &str)]) -> (RunningProgram, String) {
    let arguments = [
        "serve",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        "relay",
    ];
    let environment = [environment, &[("GRACEFUL_RELAY_METRICS__LISTEN", "")]].concat();
    let relay = home.start_with(&arguments, "", &environment);
    let address = relay.json_line()["listening"]
        .as_str()
        .expect("an address")
        .to_owned();
    (relay, address)
}

/// The page is made a moment after the start.
fn first(address: &str, path: &str) -> Shown {
    let deadline = Instant::now() + LONG;
    loop {
        let shown = get(address, path, "");
        if shown.head.starts_with("http/1.1 200") {
            return shown;
        }
        assert!(Instant::now() < deadline, "{}", shown.head);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn status_page_is_public_and_reveals_no_more() {
    let home = Home::new();
    let (_relay, address) = relay(&home, &[("GRACEFUL_RELAY_SERVER__REGION", "<Frankfurt>")]);
    let page = first(&address, "/");
    assert!(
        page.body.contains("Sync works") && page.body.contains("&lt;Frankfurt&gt;"),
        "{}",
        page.body
    );
    for header in [
        "content-type: text/html",
        "style-src 'sha256-",
        "cache-control: public, max-age=60",
        "nosniff",
    ] {
        assert!(
            page.head.contains(header),
            "{header} is not in {}",
            page.head
        );
    }
    assert!(
        !page.head.contains("unsafe") && !page.head.contains("script-src"),
        "{}",
        page.head
    );
    let tag = page
        .head
        .lines()
        .find_map(|line| line.strip_prefix("etag: "))
        .expect("a tag");
    let again = get(&address, "/", &format!("If-None-Match: {tag}\r\n"));
    assert!(
        again.head.starts_with("http/1.1 304") && again.body.is_empty(),
        "{}",
        again.head
    );
    let told: Value = serde_json::from_str(&first(&address, "/status.json").body).expect("JSON");
    let region = &told["regions"][0];
    assert_eq!(
        (&region["name"], &region["state"]),
        (&"<Frankfurt>".into(), &"up".into())
    );
    assert_eq!(region["days"].as_array().map(Vec::len), Some(90));
    let names: Vec<_> = region
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        names,
        [
            "cause",
            "days",
            "incidents",
            "incidents_more",
            "latency",
            "made",
            "name",
            "state",
            "uptime_percent"
        ]
    );
}

#[test]
fn status_page_can_be_disabled() {
    let home = Home::new();
    let (_relay, address) = relay(&home, &[("GRACEFUL_RELAY_HEALTH__STATUS_PAGE", "false")]);
    for path in ["/", "/status.json"] {
        assert!(
            get(&address, path, "").head.starts_with("http/1.1 404"),
            "{path}"
        );
    }
}

#[test]
fn status_page_covers_several_relays() {
    let home = Home::new();
    for name in ["Frankfurt", "Oslo"] {
        let (relay, address) = relay(&home, &[("GRACEFUL_RELAY_SERVER__REGION", name)]);
        std::fs::write(home.path(name), first(&address, "/status.json").body).expect("written");
        drop(relay);
        std::fs::remove_dir_all(home.path("relay")).expect("removed");
    }
    home.run(&[
        "sla",
        "page",
        "--out",
        "site",
        "--from",
        "Frankfurt",
        "--from",
        "Oslo",
    ])
    .success();
    let page = std::fs::read_to_string(home.path("site/index.html")).expect("a page");
    assert!(
        page.contains("<h2>Frankfurt</h2>") && page.contains("<h2>Oslo</h2>"),
        "{page}"
    );
    // What was written can be taken in again.
    home.run(&["sla", "page", "--out", "more", "--from", "site/status.json"])
        .success();
    std::fs::write(home.path("other"), "{}").expect("written");
    home.run(&["sla", "page", "--out", "no", "--from", "other"])
        .failure(&["other", "/status.json"]);
    assert!(!home.path("no").exists());
}

#[test]
fn status_page_shows_stopped_relay_as_down() {
    let home = Home::new();
    let (mut running, address) = relay(&home, &[]);
    first(&address, "/");
    let site = ["sla", "page", "--out", "site", "--data-dir", "relay"];
    home.run(&site).success();
    let read = || std::fs::read_to_string(home.path("site/index.html")).expect("a page");
    assert!(read().contains("Sync works"));
    running.kill();
    home.run(&site).success();
    assert!(read().contains("Sync is down") && read().contains("the relay is not running"));
}

/// In a real browser, where there is one: the policy lets the style pass, and nothing is wider than a phone.
#[test]
fn status_page_renders_on_phone() {
    let Some(browser) = ["/usr/bin/chromium", "/usr/bin/google-chrome"]
        .into_iter()
        .find(|it| Path::new(it).exists())
    else {
        println!("NOT CHECKED: there is no browser (apt-get install chromium)");
        return;
    };
    let home = Home::new();
    let (_relay, address) = relay(&home, &[]);
    first(&address, "/");
    let picture = home.path("page.png");
    let shot = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            "--window-size=390,844",
        ])
        .arg(format!("--screenshot={}", picture.display()))
        .arg(format!(
            "--user-data-dir={}",
            home.path("browser").display()
        ))
        .arg(format!("http://{address}/"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&shot.stderr);
    assert!(shot.status.success() && picture.exists(), "{said}");
    assert!(!said.contains("Content Security Policy"), "{said}");
}
