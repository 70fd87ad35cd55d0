//! Log destinations and levels of a running relay.
#![cfg(unix)]

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use graceful_testing::program::{Home, LONG, RunningProgram};
use serde_json::Value;

/// Settings of a relay that logs to files, at this level.
fn write(home: &Home, level: &str, format: &str) {
    let folder = home.path("logs");
    fs::create_dir_all(&folder).expect("a folder");
    let settings = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[metrics]\nlisten = \"\"\n[health]\ncanary_interval = \"off\"\n\
         [log]\noutput = \"file\"\ndir = {folder:?}\nformat = \"{format}\"\nlevel = \"{level}\"\nretention = \"2d\"\n"
    );
    fs::write(home.path("relay.toml"), settings).expect("settings");
}

fn serve(home: &Home) -> RunningProgram {
    let running = home.start(
        &[
            "serve",
            "--json",
            "--config",
            "relay.toml",
            "--data-dir",
            "relay",
        ],
        "",
    );
    running.json_line();
    running
}

fn files(home: &Home) -> Vec<PathBuf> {
    let entries = fs::read_dir(home.path("logs")).expect("a folder");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

fn logged(home: &Home) -> String {
    files(home)
        .iter()
        .map(|file| fs::read_to_string(file).expect("text"))
        .collect()
}

/// Something that is worth a line at `info`.
fn back_up(home: &Home, to: &str) {
    home.run(&[
        "backup",
        to,
        "--config",
        "relay.toml",
        "--data-dir",
        "relay",
    ])
    .success();
}

/// Waits until so many backups are in the log.
fn wait_for_backups(home: &Home, count: usize) {
    let deadline = Instant::now() + LONG;
    while logged(home)
        .matches("exported the store for a backup")
        .count()
        < count
    {
        assert!(Instant::now() < deadline, "{}", logged(home));
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn reload(home: &Home) -> String {
    home.run(&["reload", "--config", "relay.toml", "--data-dir", "relay"])
        .success()
        .out
}

#[test]
fn log_files_rotate_daily_and_oldest_are_removed() {
    let home = Home::new();
    write(&home, "info", "json");
    for day in ["2026-01-01", "2026-01-02", "2026-01-03"] {
        fs::write(
            home.path("logs").join(format!("graceful-relay.{day}.log")),
            "old\n",
        )
        .expect("written");
    }
    let mut running = serve(&home);
    back_up(&home, "first");
    wait_for_backups(&home, 1);
    running.kill();
    let names: Vec<_> = files(&home)
        .iter()
        .map(|file| file.file_name().expect("a name").to_owned())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let newest = fs::read_to_string(files(&home).last().expect("two")).expect("text");
    let lines: Vec<Value> = newest
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    assert!(
        lines.iter().all(|line| line["level"].is_string()) && !lines.is_empty(),
        "{newest}"
    );
}

#[test]
fn reload_changes_log_level() {
    let home = Home::new();
    write(&home, "error", "text");
    let mut running = serve(&home);
    back_up(&home, "first");
    write(&home, "info", "text");
    let said = reload(&home);
    assert!(
        said.contains("configuration reloaded") && !said.contains("restart"),
        "{said}"
    );
    back_up(&home, "second");
    wait_for_backups(&home, 1);
    write(&home, "silence", "text");
    home.run(&["reload", "--config", "relay.toml", "--data-dir", "relay"])
        .config_error(&["log.level", "silence"]);
    write(&home, "error", "json");
    let said = reload(&home);
    assert!(
        said.contains("restart the relay to apply log.format"),
        "{said}"
    );
    back_up(&home, "third");
    write(&home, "info", "text");
    reload(&home);
    back_up(&home, "fourth");
    wait_for_backups(&home, 2);
    running.kill();
    let log = logged(&home);
    assert_eq!(
        log.matches("exported the store for a backup").count(),
        2,
        "the second and the fourth: {log}"
    );
}
