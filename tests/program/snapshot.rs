//! Snapshots for devices that joined late or were away too long, with the real program.

use graceful_testing::server;
use std::time::Duration;

use graceful_protocol::Limits;
use graceful_server::relay::Registration;
use graceful_testing::program::{Home, LONG, Relay, changes, lines, pair, write};

fn ledger() -> Vec<String> {
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/ledger.jsonl"
    ));
    let lines: Vec<_> = text
        .expect("the ledger is in the tree")
        .lines()
        .map(str::to_owned)
        .collect();
    assert_eq!(lines.len(), 4_866);
    lines
}

fn follow(home: &Home, profile: &str) -> Vec<String> {
    let copy = format!("{profile}.jsonl");
    home.client(profile, &["pull", "--jsonl", &copy]).success();
    changes(&home.path(&copy))
}

#[test]
fn late_device_gets_snapshot_of_deleted_changes() {
    let home = Home::new();
    let relay = Relay::start(&home);
    relay.create(&home, "laptop", "Laptop");
    pair(&home, "laptop", "phone", "Phone");
    let ledger = ledger();
    write(&home.path("ledger.jsonl"), &ledger);
    home.client("laptop", &["push", "--jsonl", "ledger.jsonl"])
        .success();
    assert!(follow(&home, "phone") == ledger);
    home.client("laptop", &["pull"]).success();
    relay.wait_until_empty(&home);

    pair(&home, "laptop", "tablet", "Tablet");
    let copy = home.path("tablet.jsonl");
    let mut killed = home.start_client("tablet", &["pull", "--follow", "--jsonl", "tablet.jsonl"]);
    let deadline = std::time::Instant::now() + LONG;
    while std::fs::metadata(&copy).map_or(0, |file| file.len()) == 0 {
        assert!(
            !killed.has_ended() && std::time::Instant::now() < deadline,
            "nothing came"
        );
        std::thread::yield_now();
    }
    killed.kill();
    assert!(
        follow(&home, "tablet") == ledger,
        "the tablet has {} changes",
        changes(&copy).len()
    );
    assert!(follow(&home, "tablet") == ledger, "none comes twice");
    assert!(
        std::fs::read_to_string(&copy)
            .expect("a file")
            .contains("\"from_snapshot\":{\"history\":")
    );

    // What came by a snapshot goes on to the next, and what came since.
    home.client("phone", &["push", "{\"new\":1}"]).success();
    follow(&home, "tablet");
    pair(&home, "tablet", "desk", "Desk");
    let desk = follow(&home, "desk");
    let (new, old): (Vec<_>, Vec<_>) = desk.into_iter().partition(|change| change == "{\"new\":1}");
    // The relay stored this change for the laptop: it was delivered, and not repeated by the
    // snapshot.
    assert_eq!((new.len(), old.len()), (1, ledger.len()));
    assert!(old == ledger);
    for profile in ["laptop", "phone", "tablet"] {
        home.client(profile, &["pull"]).success();
    }
    relay.wait_until_empty(&home);
}

/// Three devices that have nothing to tell each other; then the first pushes what the phone misses.
fn missed(home: &Home) -> Vec<String> {
    let sent = lines(0, 40);
    write(&home.path("changes.jsonl"), &sent);
    home.client("desk", &["push", "--jsonl", "changes.jsonl"])
        .success();
    assert_eq!(follow(home, "tablet"), sent);
    sent
}

/// What the phone missed comes by the answer of another, which follows at the time.
fn phone_gets_what_it_missed(home: &Home, asked: &str, sent: &[String]) {
    let mut answering = home.start_client(asked, &["pull", "--follow"]);
    let asking = home.start_client("phone", &["pull", "--follow", "--jsonl", "phone.jsonl"]);
    let copy = home.path("phone.jsonl");
    let deadline = std::time::Instant::now() + LONG;
    while !copy.exists() || changes(&copy).len() < sent.len() {
        assert!(
            std::time::Instant::now() < deadline,
            "the answer did not come"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(asking);
    answering.kill();
    assert_eq!(follow(home, "phone"), sent);
    let text = std::fs::read_to_string(&copy).expect("a file");
    assert!(text.contains("\"gap\":{\"from\":"), "the gap was told");
}

fn three(home: &Home) {
    pair(home, "desk", "phone", "Phone");
    pair(home, "desk", "tablet", "Tablet");
    for profile in ["desk", "phone", "tablet"] {
        home.client(profile, &["pull"]).success();
    }
}

#[test]
fn deleted_unread_changes_trigger_snapshot_request() {
    let home = Home::new();
    let relay = Relay::start(&home);
    relay.create(&home, "desk", "Desk");
    three(&home);
    let sent = missed(&home);
    home.client("desk", &["purge", "--yes"]).success();
    // The desk was seen last, so it gets the request.
    phone_gets_what_it_missed(&home, "desk", &sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_absent_device_gets_gap_and_snapshot() {
    let retention_s = 5;
    let options = server::Options {
        frame_bytes_max: 1_200 * 1024,
        ..server::options()
    };
    let limits = Limits {
        retention_s,
        ..Limits::default()
    };
    let server = server::open_with(options, limits, Registration::Open).await;
    let url = format!("ws://{}", server.address);
    let story = tokio::task::spawn_blocking(move || {
        let home = Home::new();
        home.client(
            "desk",
            &[
                "init",
                "--relay",
                &url,
                "--name",
                "Desk",
                "--device-id",
                "desk",
            ],
        )
        .success();
        three(&home);
        let sent = missed(&home);
        // Time that passes is what this is about: longer is as good.
        std::thread::sleep(Duration::from_secs(u64::from(retention_s) + 1));
        phone_gets_what_it_missed(&home, "desk", &sent);
    });
    tokio::time::timeout(LONG, story)
        .await
        .expect("it ends")
        .expect("succeeds");
    server.stop().await;
}

#[test]
fn snapshot_is_requested_or_sent_by_command() {
    let home = Home::new();
    let relay = Relay::start(&home);
    relay.create(&home, "desk", "Desk");
    home.client("desk", &["snapshot"])
        .failure(&["account has no other device"]);
    three(&home);
    let sent = missed(&home);
    home.client("phone", &["pull"]).success();
    for profile in ["desk", "tablet"] {
        home.client(profile, &["pull"]).success();
    }
    // The phone loses its log; the tablet, asked by name, has everything.
    std::fs::remove_file(home.path("phone/log.jsonl")).expect("the log is there");
    let said = home
        .client("phone", &["snapshot", "--from", "tablet"])
        .success();
    assert!(
        said.out.contains("Requested a snapshot from: Tablet"),
        "{said:?}"
    );
    home.client("tablet", &["pull"]).success();
    let followed = home.client("phone", &["pull", "--json"]).success();
    assert_eq!(
        followed
            .out
            .lines()
            .filter(|line| line.contains("from_snapshot"))
            .count(),
        sent.len()
    );
    let said = home
        .client("desk", &["snapshot", "--to", "Phone", "--json"])
        .success()
        .json();
    assert_eq!(said[0]["changes"], sent.len());
    let followed = home.client("phone", &["pull"]).success();
    assert_eq!(followed.out, "", "nothing is new: {followed:?}");
    home.client("phone", &["snapshot", "--to", "Phone"])
        .failure(&["no device named"]);
}

#[cfg(unix)]
#[test]
fn change_log_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let relay = Relay::start(&home);
    relay.create(&home, "desk", "Desk");
    home.client("desk", &["push", "{\"a\":1}"]).success();
    let status = home.client("desk", &["status", "--json"]).success().json();
    let log = home.path(status[0]["log"].as_str().expect("a path"));
    let text = std::fs::read_to_string(&log).expect("the log");
    assert_eq!(text.lines().count(), 1);
    assert_eq!(
        std::fs::metadata(&log)
            .expect("the log")
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
}
