//! The demo at a smaller size: it finds what it should, fails when it should and leaves nothing.

use graceful_testing::program::{Home, LONG, lines, write};

fn leftovers(home: &Home) -> Vec<String> {
    let entries = std::fs::read_dir(home.folder.path()).expect("a folder");
    let names = entries.map(|entry| {
        entry
            .expect("an entry")
            .file_name()
            .to_string_lossy()
            .into_owned()
    });
    names
        .filter(|name| name.starts_with("graceful-relay-demo-"))
        .collect()
}

#[test]
fn demo_passes_and_leaves_nothing() {
    let home = Home::new();
    write(&home.path("small.jsonl"), &lines(0, 300));
    let said = home
        .run(&["demo", "--json", "--changes", "small.jsonl"])
        .success();
    let report = &said.json()[0];
    assert_eq!(
        (&report["changes"], &report["relay"]["envelopes"]),
        (&300.into(), &300.into())
    );
    assert_eq!(report["relay"]["plaintext_bytes"], 0);
    assert_eq!(report["relay"]["names"].as_array().map(Vec::len), Some(0));
    assert!(report["plaintext_bytes_in_copy"].as_u64() > Some(10_000));
    for receiver in report["receivers"].as_array().expect("two") {
        assert_eq!(
            (&receiver["changes"], &receiver["sha256"]),
            (&300.into(), &report["sha256"])
        );
    }
    assert_eq!(said.err, "");
    assert!(leftovers(&home).is_empty());
}

#[test]
fn demo_output_in_pipe_has_no_colors() {
    let home = Home::new();
    write(&home.path("one.jsonl"), &lines(0, 1));
    let said = home
        .run(&["demo", "--keep", "--changes", "one.jsonl"])
        .success();
    for words in [
        "WHAT THE RELAY COULD SEE",
        "WHAT THE DEVICES SAW",
        "0 bytes found",
        "All claims verified.",
    ] {
        assert!(said.out.contains(words), "{words:?} is not in {}", said.out);
    }
    assert!(!said.out.contains('\x1b') && !said.err.contains('\x1b'));
    assert!(
        said.out.lines().all(|line| line.chars().count() <= 100),
        "{}",
        said.out
    );
    assert_eq!(leftovers(&home).len(), 1);
}

#[test]
fn demo_reports_unusable_file() {
    let home = Home::new();
    home.run(&["demo", "--changes", "none.jsonl"])
        .failure(&["cannot read none.jsonl"]);
    std::fs::write(home.path("empty.jsonl"), "\n\n").expect("written");
    home.run(&["demo", "--changes", "empty.jsonl"])
        .failure(&["empty.jsonl has no lines"]);
    std::fs::write(home.path("huge.jsonl"), "x".repeat(101 << 20)).expect("written");
    home.run(&["demo", "--changes", "huge.jsonl"])
        .failure(&["exceeds the limit"]);
    assert!(leftovers(&home).is_empty());
}

#[test]
fn demo_accepts_change_of_several_envelopes() {
    let home = Home::new();
    std::fs::write(
        home.path("large.jsonl"),
        format!("{}\n{{}}\n", "x".repeat(2_500_000)),
    )
    .expect("written");
    let said = home.run(&["demo", "--changes", "large.jsonl"]).success();
    assert!(said.out.contains("All claims verified"), "{said:?}");
}

#[cfg(unix)]
#[test]
fn interrupted_demo_leaves_nothing() {
    let home = Home::new();
    write(&home.path("many.jsonl"), &lines(0, 50_000));
    let mut demo = home.start(&["demo", "--changes", "many.jsonl"], "");
    let deadline = std::time::Instant::now() + LONG;
    while leftovers(&home).is_empty() {
        assert!(
            !demo.has_ended() && std::time::Instant::now() < deadline,
            "it makes no folder"
        );
    }
    let id = demo.id().to_string();
    let killed = std::process::Command::new("kill")
        .args(["-INT", &id])
        .status();
    assert!(killed.expect("kill runs").success());
    assert_eq!(demo.wait().status.code(), Some(130));
    assert!(leftovers(&home).is_empty());
}
