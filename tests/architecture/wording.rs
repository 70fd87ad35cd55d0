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
    ("account_closed", "ACCOUNT_DELETED", &[]),
    ("addressee", "recipient", &[]),
    ("allowance", "rate limit", &[]),
    ("assemblies", "reassembler", &[]),
    ("badly", "with an error", &[]),
    ("bareaccount", "RawAccount", &[]),
    ("baredevice", "RawClient", &[]),
    ("begun", "pending, started", &[]),
    ("bytes_kept", "stored_bytes", &[]),
    ("client create", "client init", &[]),
    ("client delete", "client purge", &[]),
    ("conversation", "session, connection", &[]),
    ("conversations", "sessions", &[]),
    ("data folder", "data directory", &[]),
    ("data_folder", "data_dir", CONFIG),
    ("dialler", "connector", &[]),
    ("distrust", "misbehavior", &[]),
    ("distrusted", "misbehaving", &[]),
    ("doorkeeper", "admission control", &[]),
    ("dumperror", "ExportError", &[]),
    ("ended badly", "panicked, failed", &[]),
    ("ends badly", "fails", &[]),
    ("envelopes_kept", "stored_envelopes", &[]),
    ("errand", "pending operation", &[]),
    ("errands", "pending operations", &[]),
    ("fairness", "rate limits", &[]),
    ("fold_straight", "write_direct", &[]),
    ("found an account", "create an account", &[]),
    ("foundaccount", "Genesis", &[]),
    ("founder", "creator", &[]),
    ("founders", "creators", &[]),
    ("founds", "creates", &[]),
    ("fresh chance", "random", &[]),
    ("give_up", "drop_corrupted", &[]),
    ("goes well", "succeeds", &[]),
    ("goes_straight", "bypasses_wal", &[]),
    ("greedy", "per address", &[]),
    ("happening", "event", &[]),
    ("heartbeat_s", "ping_interval_s", CONFIG),
    ("holdings", "disk usage", &[]),
    ("invalidwords", "MnemonicError", &[]),
    ("invite_needed", "INVITE_REQUIRED", &[]),
    ("is_the_peers", "is_peer_error", &[]),
    ("keep_house", "run", &[]),
    ("kept_bytes", "stored_bytes", &[]),
    ("lay_down", "append_envelope", &[]),
    ("let_go", "release", &[]),
    ("likeness", "randomness", &[]),
    ("liveoptions", "ReloadableOptions", &[]),
    ("lookatlog", "FetchMembership", &[]),
    ("made room", "evicted", &[]),
    ("may_found", "check_create_account", &[]),
    ("newcomer", "unauthenticated connection", CONFIG),
    ("newcomers", "unauthenticated connections", CONFIG),
    ("newcomers_percent", "unauthenticated_percent", CONFIG),
    ("no_rendezvous", "RENDEZVOUS_NOT_FOUND", &[]),
    ("nobody knows what is on the disk", "poisoned", &[]),
    ("nobody panics holding it", "mutex poisoned", &[]),
    ("ordinal", "device index", &[]),
    ("oschance", "OsRng", &[]),
    ("papers", "generate", &[]),
    ("recognising", "looking up", &[]),
    ("recovery words", "recovery phrase", &[]),
    ("regain", "restore", &[]),
    ("relay_full", "STORAGE_FULL", &[]),
    ("rendezvous_taken", "RENDEZVOUS_IN_USE", &[]),
    ("rereading", "reloading", &[]),
    ("rescue", "membership resync", &[]),
    ("sent away", "rejected, disconnected", &[]),
    ("sent_away", "rejected", &[]),
    ("short of room", "disk space is low", &[]),
    ("silence_s_max", "idle_timeout_s", CONFIG),
    ("sit_down", "acquire", &[]),
    ("snapshot_wanted", "snapshot_request", &[]),
    ("stalllimited", "WriteTimeout", &[]),
    ("stopwatch", "LatencyHistogram", &[]),
    ("take_away", "remove_envelope", &[]),
    ("takein", "Importer", &[]),
    ("tests/house", "tests/architecture", &[]),
    ("the door", "the listener, admission control", &[]),
    ("the machine in the middle", "the relay", &[]),
    ("the roll", "the account listing", &[]),
    ("trial", "canary", &[]),
    ("trials", "canary runs", &[]),
    ("turned away", "rejected", &[]),
    ("turned_away", "rejected", &[]),
    ("turnedaway", "Rejected", &[]),
    ("unanswered_frames_max", "in_flight_frames_max", CONFIG),
    ("visitor", "connection", &[]),
    ("visitornumber", "ConnectionId", &[]),
    ("went well", "succeeded", &[]),
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
