//! The command line as people and scripts use it, with a relay and devices as processes.

use graceful_testing::program;
use std::path::Path;

use graceful_store::{Engine as _, Options, Store};
use graceful_testing::program::{Home, LONG, Relay, changes, lines, pair, write};

#[test]
fn pushed_changes_are_pulled_by_other_device() {
    let home = Home::new();
    let relay = Relay::start(&home);
    relay.create(&home, "desk", "Desk");
    pair(&home, "desk", "phone", "Phone");

    let sent = lines(0, 200);
    write(&home.path("changes.jsonl"), &sent);
    let pushed = home
        .client("desk", &["push", "--json", "--jsonl", "changes.jsonl"])
        .success()
        .json();
    assert_eq!(
        (&pushed[0]["pushed"], &pushed[0]["waiting"]),
        (&200.into(), &0.into())
    );
    home.client("phone", &["pull", "--jsonl", "copy.jsonl"])
        .success();
    assert_eq!(changes(&home.path("copy.jsonl")), sent);

    home.client("phone", &["push", "Milk", "and", "bread"])
        .success();
    let followed = home.client("desk", &["pull", "--until", "1"]).success();
    assert_eq!(followed.out, "Phone (phone)  Milk and bread\n");

    let status = home.client("desk", &["status", "--json"]).success().json();
    assert_eq!(
        (
            status[0]["state"].as_str(),
            status[0]["last_error"].as_str()
        ),
        (Some("up_to_date"), None)
    );
    let devices = home.client("desk", &["devices"]).success();
    assert!(
        devices.out.contains("Desk ") && devices.out.contains("Phone "),
        "{devices:?}"
    );
    relay.wait_until_empty(&home);
}

#[test]
fn pull_killed_repeatedly_writes_each_change_once() {
    let home = Home::new();
    let relay = Relay::start(&home);
    relay.create(&home, "desk", "Desk");
    pair(&home, "desk", "phone", "Phone");
    let copy = home.path("copy.jsonl");
    let length = || std::fs::metadata(&copy).map_or(0, |file| file.len());
    let mut sent = Vec::new();
    for round in 0..6 {
        let more = lines(round * 1_500, (round + 1) * 1_500);
        write(&home.path("more.jsonl"), &more);
        sent.extend(more);
        home.client("desk", &["push", "--jsonl", "more.jsonl"])
            .success();
        let before = length();
        let mut follow = home.start_client("phone", &["pull", "--follow", "--jsonl", "copy.jsonl"]);
        let deadline = std::time::Instant::now() + LONG;
        while length() <= before {
            assert!(
                !follow.has_ended() && std::time::Instant::now() < deadline,
                "nothing came"
            );
            std::thread::yield_now();
        }
        follow.kill();
        // What a crash of the whole machine may leave behind: half a line.
        let file = std::fs::OpenOptions::new().append(true).open(&copy);
        std::io::Write::write_all(&mut file.expect("the copy"), b"{\"history\":\"half")
            .expect("written");
    }
    home.client("phone", &["pull", "--jsonl", "copy.jsonl"])
        .success();
    assert!(
        changes(&copy) == sent,
        "{} of {}",
        changes(&copy).len(),
        sent.len()
    );
}

#[test]
fn removed_device_is_informed_and_account_deleted() {
    let home = Home::new();
    let mut relay = Relay::start(&home);
    relay.create(&home, "desk", "Desk");
    pair(&home, "desk", "phone", "Phone");
    home.client("desk", &["push", "first"]).success();
    let follow = home.start_client("phone", &["follow"]);
    assert!(follow.line().contains("first"));

    let said = home.client("desk", &["remove", "phone", "--yes"]).success();
    assert!(said.out.contains("Removed Phone"), "{said:?}");
    follow.wait().failure(&["relay refused", "removed"]);
    home.client("phone", &["push", "secret"])
        .failure(&["refused"]);
    let status = home.client("phone", &["status"]).success();
    assert!(status.out.contains("refused by the relay: "), "{status:?}");
    let devices = home.client("desk", &["devices", "--json"]).success().json();
    assert_eq!(
        (&devices[1]["name"], &devices[1]["removed"]),
        (&"Phone".into(), &true.into())
    );
    home.client("desk", &["push", "second"]).success();

    let said = home
        .client("desk", &["purge", "--account", "--yes"])
        .success();
    assert!(
        said.out.contains("Deleted the account from the relay"),
        "{said:?}"
    );
    home.client("desk", &["push", "third"]).failure(&[]);
    relay.running.kill();
    let store = Store::open(&home.path("relay"), Options::default()).expect("a store");
    assert_eq!(store.account_row_count().expect("rows"), 0);
}

#[test]
fn queued_changes_are_sent_after_relay_returns() {
    let home = Home::new();
    let mut relay = Relay::start(&home);
    relay.create(&home, "desk", "Desk");
    let port = relay.url.rsplit(':').next().expect("a port").to_owned();
    relay.running.kill();
    let said = home
        .client("desk", &["push", "--no-wait", "later"])
        .success();
    assert!(
        said.out.contains("1 change queued") && said.err.contains("client push"),
        "{said:?}"
    );
    let status = home.client("desk", &["status"]).success();
    assert!(
        status.out.contains("1 waiting") && status.out.contains("error "),
        "{status:?}"
    );

    let listen = format!("127.0.0.1:{port}");
    let again = home.start(
        &[
            "serve",
            "--json",
            "--listen",
            &listen,
            "--data-dir",
            "relay",
        ],
        "",
    );
    again.json_line();
    let said = home.client("desk", &["push"]).success();
    assert_eq!(said.out, "The outbox is empty: the relay has everything.\n");
    let said = home.client("desk", &["purge", "--yes"]).success();
    assert_eq!(said.out, "Deleted 1 change from the relay.\n");
}

#[test]
fn cli_errors_name_the_next_step() {
    let home = Home::new();
    let relay = Relay::start(&home);
    let url = &relay.url;
    let create = |profile, relay: &str, more: &[&str]| {
        let all: Vec<_> = ["init", "--relay", relay]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        home.client(profile, &all)
    };
    create("a", "ws://127.0.0.1:1", &[])
        .failure(&["cannot reach relay ws://127.0.0.1:1", "check that it runs"]);
    create("b", url, &[]).failure(&["invite-only", "--invite"]);
    create("c", url, &["--invite", "aaaabbbbccccddddeeeeffff"])
        .failure(&["missing, used or expired"]);
    create("d", "relay.example", &[]).failure(&["relay.example", "wss://"]);
    create("d", "ws://relay.example", &[]).failure(&["not encrypted"]);
    let (invite, long) = (relay.invite(&home), "x".repeat(129));
    create("d", url, &["--invite", &invite, "--name", &long]).failure(&["1 to 128 bytes"]);
    create("desk", url, &["--invite", &invite, "--name", "Desk"]).success();
    create("e", url, &["--invite", &invite]).failure(&["missing, used or expired"]);
    create("desk", url, &["--invite", &invite]).failure(&["already holds a device"]);

    for arguments in [
        &["status"][..],
        &["push", "x"],
        &["follow"],
        &["pair"],
        &["devices"],
        &["remove", "x"],
    ] {
        home.client("nowhere", arguments)
            .failure(&["nowhere holds no device", "create or join an account"]);
    }
    std::fs::write(home.path("bad.jsonl"), "{}\n{\"id\":\n").expect("written");
    home.client("desk", &["push", "--jsonl", "bad.jsonl"])
        .failure(&["bad.jsonl, line 2", "not JSON", "nothing was pushed"]);
    home.client("desk", &["push", "--jsonl", "none.jsonl"])
        .failure(&["cannot read none.jsonl"]);
    let waiting = home.client("desk", &["status", "--json"]).success().json();
    assert_eq!(
        (&waiting[0]["waiting"], &waiting[0]["stored_through"]),
        (&0.into(), &0.into())
    );

    home.client("desk", &["remove", "Tablet", "--yes"])
        .failure(&["no device named \"Tablet\""]);
    home.client("desk", &["remove", "Desk", "--yes"])
        .failure(&["cannot remove itself"]);
    home.client("desk", &["purge"])
        .failure(&["cancelled", "--yes"]);
    let letter = "Dear Ann\n";
    std::fs::write(home.path("letter"), letter).expect("written");
    home.client("desk", &["pull", "--follow", "--jsonl", "letter"])
        .failure(&["letter", "use another file"]);
    assert_eq!(read(&home.path("letter")), letter);

    let link = pair(&home, "desk", "phone", "Phone");
    home.client("f", &["join", &link])
        .failure(&["used or expired", "client pair"]);
    home.client("phone", &["join", &link])
        .failure(&["already holds a device"]);
    home.client("f", &["join", &link[..link.len() - 1]])
        .failure(&["malformed: secret"]);
    home.client("f", &["join", "https://example.org"])
        .failure(&["not a pairing link"]);
    let _follow = busy(&home);
    home.client("desk", &["push", "x"])
        .failure(&["is locked by another process"]);
    let status = home.client("desk", &["status"]).success();
    assert!(
        status.out.contains("another process has this profile open"),
        "{status:?}"
    );
}

#[test]
fn declined_device_does_not_join() {
    let home = Home::new();
    let relay = Relay::start(&home);
    relay.create(&home, "desk", "Desk");
    let pairing = home.start(&["client", "--profile", "desk", "--json", "pair"], "n\n");
    let link = pairing.json_line()["link"]
        .as_str()
        .expect("a link")
        .to_owned();
    home.client("phone", &["join", &link])
        .failure(&["the other device declined"]);
    pairing
        .wait()
        .failure(&["requests to join. Accept it? [y/N]", "device declined"]);
    assert!(!home.path("phone").exists());
    let picture = home.start_client("desk", &["pair", "--qr"]);
    assert!(picture.line().contains('█'), "a picture");
}

/// A device in use: known to be open when the first change has come through it.
fn busy(home: &Home) -> program::RunningProgram {
    home.client("phone", &["push", "hello"]).success();
    let follow = home.start_client("desk", &["pull", "--follow"]);
    assert!(follow.line().contains("hello"));
    follow
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a file")
}
