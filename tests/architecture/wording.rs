//! Words that must not return, each with the term to use instead.

use std::path::Path;

/// Where words are checked, besides the help output of every command.
pub const PLACES: &[&str] = &[
    "CONTRIBUTING.md",
    "README.md",
    "config.example.toml",
    "crates",
    "docs",
    "proto",
    "src",
];

/// Files with these endings are checked.
const ENDINGS: &[&str] = &["md", "proto", "rs", "toml"];

/// Old names of options, which the configuration refuses with the new ones.
const CONFIG: &[&str] = &["crates/server/src/config/"];

/// A word or phrase in lower case, the term to use instead, and the paths where it may stand.
///
/// A match needs a non-letter on both sides, so a word is found within `snake_case`, too.
pub const WORDS: &[(&str, &str, &[&str])] = &[
    ("founder", "creator", &[]),
    ("founders", "creators", &[]),
    ("foundaccount", "Genesis", &[]),
    ("conversation", "session", &[]),
    ("conversations", "sessions", &[]),
    ("doorkeeper", "admission control", &[]),
    ("the door", "the listener, admission control", &[]),
    ("newcomer", "unauthenticated connection", &[]),
    ("newcomers", "unauthenticated connections", CONFIG),
    ("turned away", "rejected", &[]),
    ("sent away", "rejected", &[]),
    ("made room", "evicted", &[]),
    ("errand", "pending operation", &[]),
    ("errands", "pending operations", &[]),
    ("addressee", "recipient", &[]),
    ("ordinal", "device index", &[]),
    ("silence_s_max", "idle_timeout_s", CONFIG),
    ("heartbeat_s", "ping_interval_s", CONFIG),
    ("unanswered_frames_max", "in_flight_frames_max", CONFIG),
    ("bytes_kept", "stored_bytes", &[]),
    ("envelopes_kept", "stored_envelopes", &[]),
    ("kept_bytes", "stored_bytes", &[]),
    ("snapshot_wanted", "snapshot_request", &[]),
    ("invite_needed", "INVITE_REQUIRED", &[]),
    ("no_rendezvous", "RENDEZVOUS_NOT_FOUND", &[]),
    ("rendezvous_taken", "RENDEZVOUS_IN_USE", &[]),
    ("relay_full", "STORAGE_FULL", &[]),
    ("account_closed", "ACCOUNT_DELETED", &[]),
    ("oschance", "OsRng", &[]),
    ("distrust", "misbehavior", &[]),
    ("distrusted", "misbehaving", &[]),
    ("short of room", "disk space is low", &[]),
    ("the roll", "the account listing", &[]),
    ("goes well", "succeeds", &[]),
    ("went well", "succeeded", &[]),
    ("ended badly", "panicked, failed", &[]),
    ("ends badly", "fails", &[]),
    ("nobody knows what is on the disk", "poisoned", &[]),
    ("by chance", "at random", &[]),
    ("fresh chance", "random", &[]),
    ("lay down", "append", &[]),
    ("lay_down", "append_envelope", &[]),
    ("give_up", "drop_corrupted", &[]),
    ("begun", "pending, started", &[]),
    ("dialler", "connector", &[]),
    ("stopwatch", "LatencyHistogram", &[]),
    ("data folder", "data directory", &[]),
    ("recovery words", "recovery phrase", &[]),
    ("papers", "generate", &[]),
];

/// One file or one help text.
#[derive(Clone)]
pub struct Page {
    pub path: String,
    pub text: String,
}

/// Reads every page below the places. Fails if one of them is not there.
pub fn pages(root: &Path) -> Vec<Page> {
    let mut pages = Vec::new();
    for place in PLACES {
        let before = pages.len();
        collect(root, &root.join(place), &mut pages);
        assert!(pages.len() > before, "no page found in {place}");
    }
    pages
}

fn collect(root: &Path, path: &Path, pages: &mut Vec<Page>) {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).expect("the folder can be read");
        for entry in entries {
            collect(root, &entry.expect("an entry").path(), pages);
        }
    } else if ENDINGS
        .iter()
        .any(|ending| path.extension().is_some_and(|end| end == *ending))
    {
        let below = path.strip_prefix(root).expect("below the root");
        pages.push(Page {
            path: below.to_string_lossy().replace('\\', "/"),
            text: std::fs::read_to_string(path).expect("the page is text"),
        });
    }
}

/// Each place where a word of the list stands.
pub fn offences(pages: &[Page], words: &[(&str, &str, &[&str])]) -> Vec<String> {
    let mut offences = Vec::new();
    for page in pages {
        for (number, line) in (1..).zip(page.text.lines()) {
            let lower = line.to_lowercase();
            for (word, instead, allowed) in words {
                let is_allowed = allowed.iter().any(|path| page.path.starts_with(path));
                if !is_allowed && stands_in(&lower, word) {
                    offences.push(format!("{}:{number}: `{word}`, use {instead}", page.path));
                }
            }
        }
    }
    offences
}

/// Returns whether the word is there with a non-letter on both sides.
fn stands_in(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(char::is_alphabetic) && !after.is_some_and(char::is_alphabetic)
    })
}

/// The help output of the program and all of its commands, one page each.
pub fn help(program: &Path) -> Vec<Page> {
    let mut pages = Vec::new();
    let mut waiting = vec![Vec::new()];
    while let Some(command) = waiting.pop() {
        let output = std::process::Command::new(program)
            .args(&command)
            .arg("--help")
            .output()
            .expect("the program runs");
        assert!(output.status.success(), "{command:?}");
        let text = String::from_utf8(output.stdout).expect("help is text");
        let listed = text
            .lines()
            .skip_while(|line| !line.starts_with("Commands:"));
        let names = listed.skip(1).take_while(|line| line.starts_with(' '));
        for name in names.filter_map(|line| line.split_whitespace().next()) {
            // A longer line is indented further: it continues the text of the one above.
            if name != "help" && text.contains(&format!("\n  {name} ")) {
                waiting.push([&command[..], &[name.to_owned()]].concat());
            }
        }
        pages.push(Page {
            path: format!("{} --help", command.join(" ")),
            text,
        });
    }
    pages
}
