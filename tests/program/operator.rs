//! An operator's commands on a running relay, with the real program.
#![cfg(unix)]

use std::fs::File;
use std::io::Read;
use std::path::Path;

use graceful_testing::program::{CommandOutput, Home, Relay, lines, pair, write};
use serde_json::Value;

/// A relay with an account of two devices, one of which has not fetched what the other pushed.
fn house() -> (Home, Relay) {
    let home = Home::new();
    let relay = Relay::start(&home);
    relay.create(&home, "laptop", "Laptop");
    pair(&home, "laptop", "phone", "Phone");
    write(&home.path("changes"), &lines(0, 20));
    home.client("laptop", &["push", "changes"]).success();
    (home, relay)
}

fn one(said: &CommandOutput) -> Value {
    said.json().into_iter().next().expect("a line of JSON")
}

fn accounts(home: &Home) -> Vec<Value> {
    home.run(&["account", "list", "--json", "--data-dir", "relay"])
        .success()
        .json()
}

#[test]
fn accounts_are_listed_and_shown_by_id_prefix() {
    let (home, relay) = house();
    relay.create(&home, "other", "Other");
    let listed = accounts(&home);
    assert_eq!(listed.len(), 2);
    assert!(
        listed[0]["bytes"].as_u64() > listed[1]["bytes"].as_u64(),
        "the largest first: {listed:?}"
    );
    assert_eq!(
        (&listed[0]["devices"], &listed[1]["devices"]),
        (&2.into(), &1.into())
    );
    let limited = home
        .run(&[
            "account",
            "list",
            "--limit",
            "1",
            "--by",
            "devices",
            "--data-dir",
            "relay",
        ])
        .success();
    assert_eq!(
        (limited.out.lines().count(), limited.err.lines().count()),
        (2, 1),
        "{limited:?}"
    );
    for entry in &listed {
        let id = entry["account"].as_str().expect("an id");
        let shown = one(&home
            .run(&["account", "show", &id[..8], "--json", "--data-dir", "relay"])
            .success());
        assert_eq!(shown["account"], entry["account"]);
        assert_eq!(
            shown["members"].as_array().map(Vec::len),
            entry["devices"].as_u64().map(|count| count as usize)
        );
    }
    home.run(&["account", "show", "AAAA", "--data-dir", "relay"])
        .failure(&["at least 8 characters"]);
    home.run(&["account", "show", "AAAAAAAAAA", "--data-dir", "relay"])
        .failure(&["no account id begins with"]);
}

#[test]
fn account_quota_applies_until_reset() {
    let (home, relay) = house();
    let id = accounts(&home)[0]["account"]
        .as_str()
        .expect("an id")
        .to_owned();
    let quota = |arguments: &[&str]| {
        let all = [
            &["account", "set-quota", "--data-dir", "relay", &id[..10]],
            arguments,
        ]
        .concat();
        home.run(&all).success().out
    };
    assert!(quota(&["2GB"]).contains("2.00 GB (own quota) and 200,000 envelopes (default)"));
    // The quota survives a restart.
    drop(relay);
    let _relay = Relay::start(&home);
    assert_eq!(accounts(&home)[0]["bytes_max"], 2_000_000_000);
    quota(&["--reset"]);
    assert_eq!(accounts(&home)[0]["quota"]["bytes_max"], Value::Null);
}

#[test]
fn account_delete_removes_all_and_informs_devices() {
    let (home, _relay) = house();
    let id = accounts(&home)[0]["account"]
        .as_str()
        .expect("an id")
        .to_owned();
    home.run(&["account", "delete", &id[..8], "--data-dir", "relay"])
        .failure(&["--yes"]);
    assert_eq!(accounts(&home).len(), 1, "not confirmed");
    let follower = home.start_client("phone", &["pull", "--follow"]);
    follower.line();
    home.run(&[
        "account",
        "delete",
        &id[..8],
        "--yes",
        "--data-dir",
        "relay",
    ])
    .success();
    let told = follower.wait();
    assert!(
        !told.status.success() && told.err.contains("account was deleted"),
        "{told:?}"
    );
    assert_eq!(accounts(&home).len(), 0);
    let status = one(&home
        .run(&["status", "--json", "--data-dir", "relay"])
        .success());
    assert_eq!(
        (&status["accounts"], &status["envelopes"]),
        (&0.into(), &0.into())
    );
    home.run(&["account", "show", &id, "--data-dir", "relay"])
        .failure(&["no account id begins with"]);
}

#[test]
fn status_prints_screen_and_json() {
    let (home, relay) = house();
    let said = home.run(&["status", "--data-dir", "relay"]).success();
    assert!(
        !said.out.contains('\u{1b}'),
        "no colours where no terminal is"
    );
    assert!(
        said.out.lines().all(|line| line.chars().count() <= 80),
        "{}",
        said.out
    );
    for word in [
        "● ready",
        "Accounts     1",
        "Envelopes    ",
        relay.address(),
        "There is no backup yet",
    ] {
        assert!(said.out.contains(word), "{word:?} is not in\n{}", said.out);
    }
    let note = r#"{"at":"2999-01-01T00:00:00Z","file":"/backups/one","bytes":12345}"#;
    std::fs::write(home.path("relay/last-backup"), note).expect("written");
    let status = one(&home
        .run(&["status", "--json", "--data-dir", "relay"])
        .success());
    assert_eq!(status["last_backup"]["bytes"], 12_345);
    assert_eq!(status["warnings"], Value::Array(Vec::new()), "{status}");
    assert!(
        status["written_bytes"]
            .as_u64()
            .is_none_or(|bytes| bytes > 0)
    );
    assert_eq!(status["process_id"], relay.running.id());
}

fn report(home: &Home) -> Value {
    let said = home
        .run(&["sla", "report", "--format", "json", "--data-dir", "relay"])
        .success();
    serde_json::from_str(&said.out).expect("JSON")
}

#[test]
fn crash_counts_as_downtime_and_planned_stop_does_not() {
    let (home, mut relay) = house();
    assert!(report(&home)["pushes"].as_u64() > Some(0));
    home.run(&["drain", "--data-dir", "relay"]).success();
    while !relay.running.has_ended() {
        std::thread::yield_now();
    }
    let stopped = report(&home);
    let mut relay = Relay::start(&home);
    let again = report(&home);
    assert_eq!(
        (&again["target_met"], &again["down_s"]),
        (&true.into(), &0.into()),
        "{again}"
    );
    assert!(
        again["incidents"].to_string().contains("planned"),
        "{again}"
    );
    assert_eq!(
        again["pushes"], stopped["pushes"],
        "what was counted is kept"
    );
    relay.running.kill();
    let _relay = Relay::start(&home);
    let crashed = report(&home);
    assert!(
        crashed["incidents"]
            .to_string()
            .contains("stopped unexpectedly"),
        "{crashed}"
    );
}

#[test]
fn sla_report_is_written_in_every_format() {
    let (home, _relay) = house();
    for (format, begin) in [
        ("text", "Uptime of "),
        ("markdown", "# Uptime of "),
        ("json", "{"),
        ("html", "<!doctype html>"),
    ] {
        home.run(&[
            "sla",
            "report",
            "--format",
            format,
            "--out",
            "report",
            "--data-dir",
            "relay",
        ])
        .success();
        let text = std::fs::read_to_string(home.path("report")).expect("written");
        assert!(text.starts_with(begin), "{text}");
    }
    home.run(&["sla", "report", "--data-dir", "elsewhere"])
        .failure(&["no uptime log"]);
}

fn finding<'a>(said: &'a Value, check: &str) -> &'a Value {
    let found = said["findings"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|one| one["check"] == check);
    found.unwrap_or_else(|| panic!("nothing about {check}: {said}"))
}

#[test]
fn doctor_reports_healthy_and_unhealthy_relay() {
    let (home, relay) = house();
    let doctor = || home.run(&["doctor", "--json", "--data-dir", "relay"]);
    let well = one(&doctor());
    for check in ["relay", "data directory", "reachable"] {
        assert_eq!(finding(&well, check)["level"], "ok", "{well}");
    }
    let port = format!(
        "port {}",
        relay.address().rsplit(':').next().expect("a port")
    );
    assert_eq!(finding(&well, &port)["level"], "ok", "{well}");
    assert_eq!(finding(&well, "backup")["level"], "warning");
    assert_eq!(doctor().status.code(), Some(1), "a warning ends with 1");
    let mut relay = relay;
    home.run(&["drain", "--data-dir", "relay"]).success();
    while !relay.running.has_ended() {
        std::thread::yield_now();
    }
    let stopped = one(&doctor());
    assert_eq!(finding(&stopped, "relay")["level"], "warning");
    assert_eq!(finding(&stopped, "store")["level"], "ok");
    // The keys belong to another store.
    std::fs::write(home.path("relay/day-keys"), b"").expect("ours");
    let keyless = doctor();
    assert_eq!(keyless.status.code(), Some(2), "a failure ends with 2");
    assert_eq!(finding(&one(&keyless), "store")["level"], "failure");
    assert_eq!(
        std::fs::metadata(home.path("relay/day-keys"))
            .expect("there")
            .len(),
        0,
        "nothing was changed"
    );
}

#[test]
fn doctor_reports_wrong_settings_and_used_port() {
    let home = Home::new();
    write(
        &home.path("wrong.toml"),
        &["[server]".into(), "listne = \"127.0.0.1:1\"".into()],
    );
    let said = home.run(&["doctor", "--json", "--config", "wrong.toml"]);
    assert_eq!(said.status.code(), Some(2));
    assert!(
        finding(&one(&said), "configuration")["text"]
            .as_str()
            .is_some_and(|text| text.contains("line 2"))
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let said = home.start_with(
        &["doctor", "--json", "--data-dir", "relay"],
        "",
        &[("GRACEFUL_RELAY_SERVER__LISTEN", &address.to_string())],
    );
    let found = one(&said.wait());
    assert_eq!(
        finding(&found, &format!("port {}", address.port()))["level"],
        "failure",
        "{found}"
    );
}

/// Every file of a bundle, one behind the other.
fn unpacked(path: &Path) -> String {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(
        File::open(path).expect("written"),
    ));
    let mut all = String::new();
    for entry in archive.entries().expect("an archive") {
        let mut entry = entry.expect("a file");
        all += &format!("== {}\n", entry.path().expect("a name").display());
        entry.read_to_string(&mut all).expect("text");
    }
    all
}

#[test]
fn doctor_bundle_names_problems_and_no_identities() {
    let (home, relay) = house();
    let id = accounts(&home)[0]["account"]
        .as_str()
        .expect("an id")
        .to_owned();
    let shown = one(&home
        .run(&["account", "show", &id, "--json", "--data-dir", "relay"])
        .success());
    let status = one(&home
        .run(&["status", "--json", "--data-dir", "relay"])
        .success());
    let settings = [
        ("GRACEFUL_RELAY_SERVER__DOMAINS", "canary-name.invalid"),
        ("GRACEFUL_RELAY_SERVER__TRUSTED_PROXIES", "192.0.2.77"),
        ("GRACEFUL_RELAY_ACME__EMAIL", "canary-contact@example.org"),
    ];
    let said = home
        .start_with(
            &["doctor", "--bundle", "help.tar.gz", "--data-dir", "relay"],
            "",
            &settings,
        )
        .wait();
    assert_eq!(
        said.status.code(),
        Some(2),
        "the name has no address: {said:?}"
    );
    let all = unpacked(&home.path("help.tar.gz"));
    for there in [
        "doctor.txt",
        "config.toml",
        "status.json",
        "system.txt",
        "connections_max",
        "has no address",
    ] {
        assert!(all.contains(there), "{there:?} is not in\n{all}");
    }
    let folder = home.folder.path().display().to_string();
    let mut canaries = vec![
        id,
        folder,
        relay.address().to_owned(),
        "192.0.2.77".into(),
        "127.0.0.1".into(),
    ];
    canaries.extend(["canary-name", "canary-contact"].map(str::to_owned));
    canaries.push(status["relay_id"].as_str().expect("an id").to_owned());
    let devices = shown["members"].as_array().expect("devices").iter();
    canaries.extend(devices.map(|member| member["device"].as_str().expect("a key").to_owned()));
    assert!(canaries.len() >= 10);
    for canary in canaries {
        assert!(!all.contains(&canary), "{canary:?} is in\n{all}");
    }
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(home.path("help.tar.gz"))
        .expect("written")
        .permissions()
        .mode();
    assert_eq!(mode & 0o077, 0, "its owner's alone");
}
