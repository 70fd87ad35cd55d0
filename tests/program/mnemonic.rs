//! The recovery phrase on the command line: shown once, typed after the loss of all devices.

use graceful_testing::program::{CommandOutput, Home, Relay, changes, lines, write};

/// The words on the screen, in their order, as a person would write them down.
fn written_down(said: &CommandOutput) -> Vec<String> {
    assert!(
        said.out.lines().all(|line| line.chars().count() <= 80),
        "{}",
        said.out
    );
    let mut words = Vec::new();
    let mut pieces = said.out.split_whitespace();
    while let Some(piece) = pieces.next() {
        if let Some(place) = piece
            .strip_suffix('.')
            .and_then(|number| number.parse::<usize>().ok())
        {
            words.push((place, pieces.next().expect("a word").to_owned()));
        }
    }
    words.sort();
    assert!(
        words.iter().map(|(place, _)| *place).eq(1..=12),
        "{words:?}"
    );
    words.into_iter().map(|(_, word)| word).collect()
}

fn create(home: &Home, relay: &Relay, profile: &str, more: &[&str]) -> CommandOutput {
    let invite = relay.invite(home);
    let create = [
        "init", "--relay", &relay.url, "--invite", &invite, "--name", profile,
    ];
    home.client(
        profile,
        &create.iter().chain(more).copied().collect::<Vec<_>>(),
    )
}

fn recover(home: &Home, relay: &Relay, profile: &str, typed: &str, more: &[&str]) -> CommandOutput {
    let recover = [
        "client",
        "--profile",
        profile,
        "recover",
        "--relay",
        &relay.url,
        "--name",
        profile,
    ];
    home.start(
        &recover.iter().chain(more).copied().collect::<Vec<_>>(),
        typed,
    )
    .wait()
}

#[test]
fn recovery_phrase_alone_restores_account() {
    let home = Home::new();
    let relay = Relay::start(&home);
    let created = create(&home, &relay, "desk", &[]).success();
    let words = written_down(&created);
    assert!(created.out.contains("NOT SHOWN AGAIN") && created.err.contains("the 12 words above"));
    let sent = lines(0, 50);
    write(&home.path("changes.jsonl"), &sent);
    home.client("desk", &["push", "--jsonl", "changes.jsonl"])
        .success();
    let devices = home.client("desk", &["devices"]).success().out;
    let desk = devices.split_whitespace().nth(1).expect("a key").to_owned();
    std::fs::remove_dir_all(home.path("desk")).expect("lost");

    // One on each line, numbered, in capitals, and with an empty line before.
    let typed: String = (1..)
        .zip(&words)
        .map(|(place, word)| format!("\n{place}) {}", word.to_uppercase()))
        .collect();
    let back = recover(&home, &relay, "phone", &typed, &[]).success();
    assert_eq!(
        back.out,
        "Recovered the account on phone, with 1 other device.\n"
    );
    assert!(
        back.err.contains("Enter the 12 words") && back.err.contains("client remove "),
        "{back:?}"
    );
    assert!(back.err.contains(&desk), "{desk} is not in {}", back.err);
    home.client("phone", &["pull", "--jsonl", "copy.jsonl"])
        .success();
    assert_eq!(changes(&home.path("copy.jsonl")), sent);
    home.client("phone", &["remove", "--yes", "--", &desk])
        .success();
    home.client("phone", &["push", "in the new epoch"])
        .success();
    std::fs::remove_dir_all(home.path("phone")).expect("lost");

    let typed = words.join(" ");
    let back = recover(
        &home,
        &relay,
        "tablet",
        &typed,
        &["--json", "--remove-others"],
    )
    .success()
    .json();
    assert_eq!(
        (&back[0]["name"], back[0]["others"].as_array().map(Vec::len)),
        (&"tablet".into(), Some(0))
    );
    let followed = home.client("tablet", &["pull", "--until", "1"]).success();
    assert!(followed.out.contains("in the new epoch"), "{followed:?}");
    let status = home
        .client("tablet", &["status", "--json"])
        .success()
        .json();
    assert_eq!(
        (&status[0]["key_epoch"], &status[0]["recovery"]),
        (&2.into(), &true.into())
    );
    recover(&home, &relay, "tablet", &typed, &[]).failure(&["already holds a device"]);
}

#[test]
fn recovery_phrase_is_shown_before_connecting_and_reused() {
    let home = Home::new();
    let relay = Relay::start(&home);
    let nowhere = "ws://127.0.0.1:1";
    let first = home.client("desk", &["init", "--relay", nowhere, "--name", "Desk"]);
    let first = first.failure(&["cannot reach relay", "Keep the words above"]);
    let words = written_down(&first);
    let second = home.client("desk", &["init", "--relay", nowhere]);
    let second = second.failure(&["shown the first time stay valid", "move desk away"]);
    assert_eq!(second.out, "", "no other words are shown");
    let created = create(&home, &relay, "desk", &[]).success();
    assert!(
        created
            .err
            .contains("recovery  the 12 words shown the first time"),
        "{created:?}"
    );
    assert_eq!(created.out.lines().count(), 1, "{created:?}");
    recover(&home, &relay, "phone", &words.join("\n"), &[]).success();

    // What is wrong with the command itself is said before any words are.
    for (arguments, text) in [
        (["--relay", "relay.example", "--name", "x"], "wss://"),
        (["--relay", nowhere, "--name", ""], "1 to 128 bytes"),
    ] {
        let mut create = vec!["init"];
        create.extend(arguments);
        assert_eq!(home.client("none", &create).failure(&[text]).out, "");
    }
    assert_eq!(
        create(&home, &relay, "desk", &[])
            .failure(&["already holds a device"])
            .out,
        ""
    );
}

#[test]
fn json_output_holds_recovery_phrase() {
    let home = Home::new();
    let relay = Relay::start(&home);
    let created = create(&home, &relay, "desk", &["--json"]).success().json();
    let words = created[0]["recovery_phrase"]
        .as_str()
        .expect("words")
        .to_owned();
    assert_eq!((created.len(), words.split(' ').count()), (1, 12));
    assert_eq!(created[0]["recovery"], "new");
    recover(&home, &relay, "phone", &words, &[]).success();

    let failed = home
        .client("two", &["init", "--json", "--relay", "ws://127.0.0.1:1"])
        .failure(&["cannot reach"]);
    assert_eq!(failed.json()[0]["created"], false);
    let words = failed.json()[0]["recovery_phrase"]
        .as_str()
        .expect("words")
        .to_owned();
    let created = create(&home, &relay, "two", &["--json"]).success().json();
    assert_eq!(created[0]["recovery"], "shown_before");
    assert!(created[0]["recovery_phrase"].is_null());
    recover(&home, &relay, "three", &words, &[]).success();

    let without = create(&home, &relay, "four", &["--json", "--no-recovery"])
        .success()
        .json();
    assert_eq!(without[0]["recovery"], "none");
    assert!(without[0]["recovery_phrase"].is_null());
    let said = create(&home, &relay, "five", &["--no-recovery"]).success();
    assert!(
        said.err.contains("recovery  none") && said.out.lines().count() == 1,
        "{said:?}"
    );
}

#[test]
fn mistyped_recovery_words_are_named() {
    let home = Home::new();
    let relay = Relay::start(&home);
    let words = "legal winner thank year wave sausage worth useful legal winner thank yellow";
    let typed = |text: &str| recover(&home, &relay, "x", text, &[]);
    typed(&words.replace("sausage", "sausge"))
        .failure(&["word 6, \"sausge\"", "did you mean \"sausage\"?"]);
    typed(&words.replace(" yellow", "")).failure(&["11 words instead of 12"]);
    typed(&words.replace("yellow", "zebra")).failure(&["failed its checksum", "swapped"]);
    typed("").failure(&["0 words instead of 12"]);
    // All in order, and yet of no account here.
    typed(words).failure(&["no account on this relay has this recovery key", "address"]);
    assert!(!home.path("x").join("device").exists());
}
